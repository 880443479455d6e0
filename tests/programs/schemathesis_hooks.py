"""What schemathesis is told of Windrow beyond the document: how NDJSON is sent and read, and texts that mean something.

A random text is hardly ever an expression over fields that are there, so most are replaced by one that is; which goes by
their characters, so a run with the same seed is the same. What breaks the schema is left as it is.
"""

import json
import re

import schemathesis

DATASETS = ["visits", "pages"]
CONDITIONS = [
    "true", "ms > 20", "country = 'DE'", "title like 'W%'", "state is null", "_time > '2026-01-01'", "1 / 0 > 1",
    "regexp_like(country, '(a+)+$')", "ms = 'slow'", "not (ms <> 12 or country in ('FR', null))", "_seq % 0 = 1",
    "length(country) = 9223372036854775807 + 1", "replace(country, '', 'x') = ''", "case when ms then 1 else 'a' end",
]
FIELDS = ["ms", "country", "title", "slug", "_time", "_seq", "_id", "page", "state", "nothing"]
SELECTED = [
    "count()", "sum(ms)", "avg(ms) as mean", "uniq(country)", "p95(ms)", "min(_time)", "quantile(ms, 2)", "any(title)",
    "count(*) filter (where ms > 1)", "approx_uniq(country)", "substr(country, -1, 99)", "day(_time)", "*", "sum(country)",
]
STATEMENTS = [
    "SELECT 1", "SELECT * FROM visits", "SELECT country, count(*) FROM visits GROUP BY 1 ORDER BY 2 DESC", "SELECT ? + 1",
    "SELECT v.country, p.title FROM visits v LEFT JOIN pages p ON p.slug = v.page", "EXPLAIN SELECT count(*) FROM visits",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT sum(i) FROM n", "DROP TABLE visits",
    "SELECT * FROM sqlite_master", "SELECT sum(ms) OVER (ORDER BY _seq) FROM visits", "SELECT zeroblob(1000000000)",
    "SELECT count(*) FROM visits WHERE ms > (SELECT avg(ms) FROM visits)", "SELECT 1; SELECT 2", "SELECT nothing FROM visits",
]
TEXTS = {
    "where": CONDITIONS, "having": ["count() > 0", "sum(ms) > 'a'", "country = 'DE'"], "start": CONDITIONS,
    "return": CONDITIONS, "after": CONDITIONS, "before": CONDITIONS, "step": FIELDS, "by": FIELDS, "sql": STATEMENTS,
    "fields": FIELDS, "facets": FIELDS, "order": ["-ms", "country", "-_seq", "_time", "count()"], "select": SELECTED,
    "steps": CONDITIONS, "include": ["author", "a.b"], "q": ["wind*", '"winds rows"', "-a", "title:winds", "(", "wnds"],
    "tz": ["UTC", "Europe/Berlin", "Mars/Phobos"], "week_start": ["monday", "sunday", "someday"],
    "cache": ["true", "false", "30s", "realtime", "search+5m", "0s"], "period": ["day", "7d", "week", "1s", "0d"],
    "range": ["today", "last month", "7d", "never"], "last": ["30d", "8w", "0d"], "from": DATASETS, "dataset": DATASETS,
    "explain": ["sqlite", "duckdb", "clickhouse", "oracle"],
}


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context, value):
    return value if isinstance(value, (str, bytes)) else json.dumps(value)


@schemathesis.deserializer("application/x-ndjson", "text/csv", "text/html")
def read_text(_context, response):
    return response.content.decode()


def meant(name, value):
    """One of the texts that mean something in this place, or the value itself."""
    known = TEXTS.get(name)
    if known and isinstance(value, str) and value:
        drawn = sum(map(ord, value)) + 7 * len(value)
        return value if drawn % 8 == 0 else known[drawn % len(known)]
    if known and isinstance(value, list) and value and all(isinstance(item, str) and item for item in value):
        return [meant(name, item) for item in value]
    if isinstance(value, dict):
        return {inner: meant(inner, item) for inner, item in value.items()}
    return value


@schemathesis.hook
def before_call(context, case, _kwargs):
    name, path = (case.path_parameters or {}).get("dataset"), case.operation.path
    if isinstance(name, str) and re.fullmatch("[a-z_][a-z0-9_]{0,62}", name):
        if path.endswith("{dataset}") and case.method != "GET":
            # the datasets of the questions stay as they are: others are declared and dropped
            name = "orders" if name in DATASETS else name
        elif "records" in path or "search" in path:
            name = name if len(name) == 1 else "pages"
        else:
            name = meant("dataset", name)
        case.path_parameters["dataset"] = name
    if isinstance(case.query, dict):
        case.query.update({name: meant(name, value) for name, value in case.query.items()})
    # events and records are taken as they are
    if isinstance(case.body, dict) and not path.startswith("/v1/datasets"):
        case.body = meant("", case.body)

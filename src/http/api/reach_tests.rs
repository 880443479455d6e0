//! Every route, asked by someone who is bound to a row filter after someone who is not: nothing of the other tenant is in a
//! body or a header. A route that is added is asked too; what it takes should be listed here.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::cache::class::Classes;
use crate::cache::{Cache, CacheOptions};
use crate::http::Service;
use crate::http::message::{Method, Request, Response};
use crate::http::routes::{self, ROUTES};
use crate::query::budget::Limits;
use crate::query::reach::Reach;
use crate::query::warm::WarmList;
use crate::store::{Store, StoreOptions};

/// In every text of the other tenant.
const MARKER: &str = "qzmarker";

fn ask(service: &Service, method: Method, target: &str, body: &str) -> Response {
    let request = Request { body: body.as_bytes().to_vec(), ..Request::new(method, target).unwrap() };
    routes::answer(service, &request)
}

/// What is asked: the pattern of the route, method, target, body.
type Asked = (&'static str, Method, String, String);

fn reads() -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    for target in ["/", "/?dataset=notes", "/?dataset=pages"] {
        all.push(asked("/", Method::Get, target, ""));
    }
    for target in ["/healthz", "/readyz", "/v1/datasets", "/v1/cache"] {
        all.push(asked(target, Method::Get, target, ""));
    }
    for dataset in ["notes", "pages"] {
        let base = format!("/v1/datasets/{dataset}");
        all.push(asked("/v1/datasets/{dataset}", Method::Get, &base, ""));
        for rest in [
            "",
            "?count=exact",
            "?page=1&per_page=3",
            "?order=-text",
            "?where=text+LIKE+%27%25q%25%27",
            "?fields=text,tenant&limit=2",
        ] {
            all.push(asked("/v1/datasets/{dataset}/rows", Method::Get, &format!("{base}/rows{rest}"), ""));
        }
        for text in ["qzmarker", "qzmarkr", "shared", "q*"] {
            for rest in ["&facets=tenant,text", "&count=exact&order=rank", "&order=newest"] {
                all.push(asked(
                    "/v1/datasets/{dataset}/search",
                    Method::Get,
                    &format!("{base}/search?q={text}{rest}"),
                    "",
                ));
            }
        }
        all.extend(questions(dataset));
    }
    for key in ["a1", "b1", "none"] {
        for rest in ["", "?fields=text", "?include=of"] {
            let target = format!("/v1/datasets/pages/records/{key}{rest}");
            all.push(asked("/v1/datasets/{dataset}/records/{key}", Method::Get, &target, ""));
        }
    }
    all.push(asked("/v1/datasets/{dataset}/rows", Method::Get, "/v1/datasets/pages/rows?include=of", ""));
    all.push(asked("/v1/performance/recommendations", Method::Get, "/v1/performance/recommendations", ""));
    all
}

fn asked(pattern: &'static str, method: Method, target: &str, body: &str) -> Asked {
    (pattern, method, target.to_owned(), body.to_owned())
}

fn questions(dataset: &str) -> Vec<Asked> {
    let mut all = Vec::new();
    for select in [
        r#"["max(text)", "count()", "uniq(text)"]"#,
        r#"["text", "tenant"]"#,
        r#"["first(text)", "any(text)"]"#,
    ] {
        all.push(asked(
            "/v1/query",
            Method::Post,
            "/v1/query",
            &format!(r#"{{"from": "{dataset}", "select": {select}}}"#),
        ));
    }
    all.push(asked(
        "/v1/query",
        Method::Post,
        "/v1/query",
        &format!(r#"{{"from": "{dataset}", "by": "text", "select": "count()"}}"#),
    ));
    for sql in [
        format!("SELECT * FROM {dataset}"),
        format!("SELECT a.text, b.text FROM {dataset} a JOIN {dataset} b ON true"),
        format!("EXPLAIN SELECT text FROM {dataset} WHERE text = 'x'"),
        format!("EXPLAIN SELECT a.text FROM {dataset} a JOIN {dataset} b ON true"),
        format!("SELECT CAST(regexp_replace(text, text || '(', 'x') AS string) FROM {dataset}"),
    ] {
        all.push(asked("/v1/sql", Method::Post, "/v1/sql", &serde_json::json!({ "sql": sql }).to_string()));
    }
    let range = r#""range": {"from": "2000-01-01", "to": "2100-01-01"}"#;
    for (route, more) in [
        ("/v1/funnel", r#""by": "tenant", "steps": ["true"]"#),
        ("/v1/retention", r#""by": "tenant", "period": "4000w""#),
        ("/v1/paths", r#""by": "tenant", "step": "text", "depth": 2"#),
    ] {
        all.push(asked(route, Method::Post, route, &format!(r#"{{"from": "{dataset}", {more}, {range}}}"#)));
    }
    all
}

/// Ways to write, with what is of the other tenant in the state that they meet.
fn writes() -> Vec<Asked> {
    let mut all = Vec::new();
    let other = r#"{"id": "b1", "tenant": "a"}"#;
    all.push(asked("/v1/datasets/{dataset}/records", Method::Put, "/v1/datasets/pages/records", other));
    all.push(asked(
        "/v1/datasets/{dataset}/records",
        Method::Put,
        "/v1/datasets/pages/records?mode=merge",
        other,
    ));
    all.push(asked(
        "/v1/datasets/{dataset}/records",
        Method::Patch,
        "/v1/datasets/pages/records?where=id=%27b1%27",
        r#"{"n": 1}"#,
    ));
    all.push(asked(
        "/v1/datasets/{dataset}/events",
        Method::Post,
        "/v1/datasets/notes/events",
        r#"{"tenant": "b"}"#,
    ));
    all.push(asked(
        "/v1/datasets/{dataset}/records",
        Method::Delete,
        "/v1/datasets/pages/records?where=id=%27b1%27",
        "",
    ));
    all.push(asked(
        "/v1/datasets/{dataset}/records/{key}",
        Method::Delete,
        "/v1/datasets/pages/records/b1",
        "",
    ));
    all.push(asked(
        "/v1/datasets/{dataset}/events",
        Method::Delete,
        "/v1/datasets/notes/events?where=tenant=%27b%27",
        "",
    ));
    all.push(asked("/v1/datasets/{dataset}", Method::Put, "/v1/datasets/notes", "{}"));
    all.push(asked("/v1/datasets/{dataset}", Method::Delete, "/v1/datasets/notes", ""));
    for route in ["/v1/cache/clear", "/v1/cache/warm", "/v1/performance/optimize"] {
        all.push(asked(route, Method::Post, route, ""));
    }
    all
}

/// Routes that are not asked so far, each somehow.
fn others(known: &[Asked]) -> Vec<Asked> {
    let is_known =
        |pattern: &str, method: Method| known.iter().any(|one| one.0 == pattern && one.1 == method);
    let others = ROUTES.iter().filter(|route| !is_known(route.pattern, route.method));
    others
        .map(|route| {
            let target =
                route.pattern.replace("{dataset}", "pages").replace("{key}", "b1").replace(['{', '}'], "");
            asked(route.pattern, route.method, &target, if route.method == Method::Get { "" } else { "{}" })
        })
        .collect()
}

/// Records and events of two tenants, each other one marked.
fn fill(all: &Service) {
    let declared = r#"{"kind": "records", "key": "id", "search": ["text"], "relations": {"of": {"one": "parents", "by": "parent"}},
        "fields": {"id": {"type": "string"}, "parent": {"type": "string"}, "text": {"type": "string"}, "tenant": {"type": "string"}}}"#;
    let parents = r#"{"kind": "records", "key": "id"}"#;
    assert_eq!(ask(all, Method::Put, "/v1/datasets/parents", parents).status, 200);
    let parent = format!(r#"{{"id": "b1", "tenant": "b", "text": "{MARKER} 1"}}"#);
    assert_eq!(ask(all, Method::Put, "/v1/datasets/parents/records", &parent).status, 200);
    let reply = ask(all, Method::Put, "/v1/datasets/pages", declared);
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(ask(all, Method::Put, "/v1/datasets/notes", r#"{"search": ["text"]}"#).status, 200);
    for n in 0..40 {
        let (tenant, text) = if n % 2 == 0 { ("a", "shared") } else { ("b", MARKER) };
        let row = format!(
            r#"{{"id": "{tenant}{n}", "tenant": "{tenant}", "text": "{text} {}", "n": {n}, "parent": "b1"}}"#,
            n % 7
        );
        assert_eq!(ask(all, Method::Post, "/v1/datasets/notes/events", &row).status, 200);
        assert_eq!(ask(all, Method::Put, "/v1/datasets/pages/records", &row).status, 200);
    }
    let one = format!(
        r#"[{{"id": "a1", "tenant": "a", "text": "shared", "parent": "b1"}}, {{"id": "b1", "tenant": "b", "text": "{MARKER} 9"}}]"#
    );
    assert_eq!(ask(all, Method::Put, "/v1/datasets/pages/records", &one).status, 200);
}

#[test]
fn no_route_shows_anything_of_another_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap());
    let cache = Cache::open(CacheOptions {
        memory_bytes: 4 << 20,
        disk_bytes: 0,
        file: None,
        classes: Classes::default(),
    });
    let service = |reach: Reach| {
        let limits = Limits { reach: Arc::new(reach), cache: Some(Arc::clone(&cache)), ..Limits::default() };
        let address = SocketAddr::from(([127, 0, 0, 1], 7878));
        Service::new(Arc::clone(&store), address, limits, WarmList::default())
    };
    let all = service(Reach::everything());
    let bound = service(Reach::new(&[], Some("tenant = 'a'")).unwrap());
    fill(&all);
    let mut asked: Vec<Asked> = reads().into_iter().chain(writes()).collect();
    asked.extend(others(&asked));
    let mut shown_to_all = 0;
    for (_, method, target, body) in &asked {
        let text = |response: &Response| {
            let headers: Vec<String> =
                response.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            format!("{} {}\n{}", response.status, headers.join("\n"), String::from_utf8_lossy(&response.body))
        };
        let is_read = *method == Method::Get
            || !["datasets", "optimize", "cache"].iter().any(|word| target.contains(word));
        if is_read {
            let told = text(&ask(&all, *method, target, body));
            shown_to_all += usize::from(told.contains(MARKER));
        }
        let told = text(&ask(&bound, *method, target, body));
        // what was looked for comes back in links and the like
        let is_shown = match target.contains(MARKER) {
            true => [" ", "</mark>"].iter().any(|rest| told.contains(&format!("{MARKER}{rest}"))),
            false => told.contains(MARKER),
        };
        assert!(!is_shown, "{method:?} {target} {body}: {told}");
        assert!(!told.starts_with('5'), "{method:?} {target} {body}: {told}");
    }
    assert!(shown_to_all > 30, "{shown_to_all}");
    let rows = |service: &Service, dataset: &str| {
        let reply = ask(service, Method::Get, &format!("/v1/datasets/{dataset}"), "");
        let told: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        told["rows"].as_u64().unwrap()
    };
    assert_eq!((rows(&all, "notes"), rows(&bound, "notes")), (40, 20));
    assert_eq!((rows(&all, "pages"), rows(&bound, "pages")), (41, 21));
}

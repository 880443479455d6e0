//! Questions: `POST /v1/query` with a JSON query, `POST /v1/sql` with a SELECT. Both answer as `Accept` says.

use serde_json::{Map, Value};

use crate::cache::class::{USES, Use};
use crate::error::{Error, Result, nearest};
use crate::http::body;
use crate::http::message::Response;
use crate::http::routes::Call;
use crate::query::language::Statement;
use crate::query::{self, format, parse};
use crate::time::{self, Calendar};

const SQL_KEYS: [&str; 5] = ["sql", "params", "tz", "week_start", "cache"];

/// `POST /v1/query`.
pub fn query(call: &Call<'_>) -> Result<Response> {
    let body = body::decode(call.request)?;
    if body.trim_ascii().is_empty() {
        return Err(Error::invalid(
            "the body is empty; send a query, such as {\"from\": \"visits\", \"select\": [\"count()\"]}",
        ));
    }
    answer(call, parse::question(&body, time::now())?)
}

/// `POST /v1/sql`.
pub fn sql(call: &Call<'_>) -> Result<Response> {
    answer(call, read_sql(&body::decode(call.request)?)?)
}

fn answer(call: &Call<'_>, statement: Statement) -> Result<Response> {
    let statement = statement.within(call.limits());
    let answer = query::answer(&call.snapshot(), &statement)?;
    let form = call.request.format();
    let mut response = Response::ok(form.content_type(), format::answer(&answer, form)?);
    response.headers.push(("Age", answer.stats.age.as_secs().to_string().into()));
    Ok(response)
}

fn read_sql(body: &[u8]) -> Result<Statement> {
    const SHAPE: &str = "send {\"sql\": \"SELECT …\", \"params\": […]}";
    if body.trim_ascii().is_empty() {
        return Err(Error::invalid(format!("the body is empty; {SHAPE}")));
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|e| Error::invalid(format!("the body is not JSON: {e}; {SHAPE}")))?;
    let Value::Object(object) = value else {
        return Err(Error::invalid(format!("the body is no JSON object; {SHAPE}")));
    };
    if let Some(other) = object.keys().find(|key| !SQL_KEYS.contains(&key.as_str())) {
        let hint = nearest(other, SQL_KEYS.into_iter());
        return Err(Error::invalid(format!("\"{other}\" is no part of a SQL request; {SHAPE}{hint}")));
    }
    let Some(Value::String(text)) = object.get("sql") else {
        return Err(Error::invalid(format!("\"sql\" has to be a text with one SELECT; {SHAPE}")));
    };
    let params: &[Value] = match object.get("params") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(params)) => params,
        Some(_) => {
            return Err(Error::invalid(
                "\"params\" has to be an array with a value for every ? of the SELECT",
            ));
        }
    };
    let statement = parse::statement(text, params)?;
    let calendar = Calendar::named(named(&object, "tz")?, named(&object, "week_start")?)?;
    let cache = match object.get("cache") {
        None => Use::Exact,
        Some(Value::Bool(cache)) => Use::read(if *cache { "true" } else { "false" })?,
        Some(Value::String(text)) => Use::read(text)?,
        Some(_) => return Err(Error::invalid(format!("\"cache\" {}", USES))),
    };
    Ok(statement.on(calendar).cached(cache))
}

fn named<'a>(object: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => Ok(Some(name)),
        Some(_) => {
            Err(Error::invalid(format!("\"{key}\" is a text, such as \"Europe/Berlin\" or \"sunday\"")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_sql_request_is_refused_with_the_shape() {
        for (body, word) in [
            ("", "empty"),
            ("{", "not JSON"),
            ("[]", "object"),
            ("{}", "\"sql\""),
            ("{\"sql\":7}", "\"sql\""),
            ("{\"sqll\":\"SELECT 1\"}", "did you mean \"sql\""),
            ("{\"sql\":\"SELECT 1\",\"params\":{}}", "params"),
            ("{\"sql\":\"SELECT a FROM t\",\"tz\":\"Europe/Berln\"}", "did you mean \"Europe/Berlin\""),
            ("{\"sql\":\"SELECT a FROM t\",\"tz\":2}", "\"tz\" is a text"),
            ("{\"sql\":\"SELECT a FROM t\",\"week_start\":\"x\"}", "day of the week"),
        ] {
            let refused = read_sql(body.as_bytes()).map(|_| ()).expect_err(body).to_string();
            assert!(refused.contains(word), "{body}: {refused}");
        }
    }
}

//! Sequence analyses: `POST /v1/funnel`, `/v1/retention` and `/v1/paths`, answered as `Accept` says.

use crate::error::{Error, Result};
use crate::http::body;
use crate::http::message::Response;
use crate::http::routes::Call;
use crate::query::sequences::{self, Kind};
use crate::query::{format, parse};
use crate::time;

/// `POST /v1/funnel`.
pub fn funnel(call: &Call<'_>) -> Result<Response> {
    answer(call, Kind::Funnel)
}

/// `POST /v1/retention`.
pub fn retention(call: &Call<'_>) -> Result<Response> {
    answer(call, Kind::Retention)
}

/// `POST /v1/paths`.
pub fn paths(call: &Call<'_>) -> Result<Response> {
    answer(call, Kind::Paths)
}

fn answer(call: &Call<'_>, kind: Kind) -> Result<Response> {
    let body = body::decode(call.request)?;
    if body.trim_ascii().is_empty() {
        return Err(Error::invalid(format!(
            "the body is empty; send the {} as JSON, beginning with {{\"from\": \"visits\", \"by\": \"user_id\"",
            kind.name()
        )));
    }
    let limits = call.limits();
    let question = parse::sequence(kind, &body, time::now())?.within(limits);
    let answer = sequences::run(&call.snapshot(), &question)?;
    let form = call.request.format();
    let mut response = Response::ok(form.content_type(), format::answer(&answer, form)?);
    response.headers.push(("Age", answer.stats.age.as_secs().to_string().into()));
    Ok(response)
}

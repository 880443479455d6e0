//! The pages: the form of `GET /signin`, and the first page, `GET /`: the last 30 days of a dataset, drawn by the server as HTML and SVG, and the calls behind the
//! drawing. It needs no script and nothing from elsewhere. `routes` calls [`page()`]:
//!
//! `window` (which days) + `fields` (which lists) → `calls` (asked as `POST /v1/query` asks) → `page` (`chart`, `markup`)

mod calls;
mod chart;
mod fields;
mod markup;
mod numbers;
mod page;
mod window;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::http::message::Response;
use crate::http::problem::Problem;
use crate::http::routes::Call;
use crate::query::budget::Limits;
use crate::query::describe::extent;
use crate::store::snapshot::{Dataset, Snapshot};
use crate::time::{self, Calendar};

use page::{Frame, Page};
use window::Window;

/// The parameters of the page.
pub const PARAMETERS: [&str; 3] = ["dataset", "refresh", "tz"];

/// `GET /`. What goes wrong is a page too, with the status of the problem.
pub fn page(call: &Call<'_>) -> Result<Response> {
    let snapshot = call.snapshot();
    let frame = Frame {
        origin: origin(call),
        datasets: by_size(&snapshot, &call.limits())?,
        tz: call.request.parameter("tz").filter(|tz| !tz.is_empty()),
        refreshes: call.request.parameter("refresh") != Some("off"),
        authorization: if call.service.gate.is_open() {
            ""
        } else {
            "-H \"Authorization: Bearer $WINDROW_KEY\" "
        },
        signs_out: call.access.is_session(),
    };
    let drawn = draw(call, &snapshot, &frame).unwrap_or_else(|error| {
        let problem = Problem::for_client(&error);
        (problem.status, page::problem(&frame, &problem))
    });
    Ok(page::response(drawn.0, drawn.1))
}

/// The page with the form for a key.
pub fn sign_in(status: u16, why: Option<&str>) -> Response {
    page::response(status, page::sign_in(why))
}

fn draw(call: &Call<'_>, snapshot: &Snapshot, frame: &Frame<'_>) -> Result<(u16, String)> {
    if let Some(other) = call.request.parameter("refresh").filter(|refresh| *refresh != "off") {
        return Err(Error::invalid(format!(
            "refresh={other} is nothing to choose; the page takes refresh=off"
        )));
    }
    let calendar = Calendar::named(frame.tz, None)?;
    let dataset = match (call.request.parameter("dataset"), frame.datasets.first()) {
        (Some(name), _) if !name.is_empty() => call.limits().reach.dataset(snapshot, name)?,
        (_, Some(largest)) => Arc::clone(largest),
        (_, None) => return Ok((200, page::empty(frame, None))),
    };
    let now_us = time::now();
    let dataset = &*dataset;
    let (rows, range) = extent(dataset, &call.limits())?;
    let Some(window) = Window::of(range, calendar, now_us) else {
        return Ok((200, page::empty(frame, Some(&dataset.name))));
    };
    let calls = calls::ask((snapshot, &call.limits()), dataset, &window, frame.tz, now_us);
    Ok((200, page::dataset(frame, &Page { dataset, rows, window: &window, calls: &calls })))
}

/// The datasets, the largest first, and after them those of the engine itself.
fn by_size(snapshot: &Snapshot, limits: &Limits) -> Result<Vec<Arc<Dataset>>> {
    let all = limits.reach.datasets(snapshot).into_iter();
    let counted = all.map(|dataset| Ok((extent(&dataset, limits)?.0, dataset)));
    let mut counted = counted.collect::<Result<Vec<_>>>()?;
    // a stable sort: of equal ones the first by name
    counted.sort_by_key(|(rows, dataset)| (dataset.name.starts_with('_'), std::cmp::Reverse(*rows)));
    Ok(counted.into_iter().map(|(_, dataset)| dataset).collect())
}

/// Where the browser found the server, for calls that can be pasted: what `Host` says, if that is a name or an address.
fn origin(call: &Call<'_>) -> String {
    const HOST_BYTES: usize = 255;
    let is_plain = |host: &&str| {
        let known =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
        !host.is_empty() && host.len() <= HOST_BYTES && host.bytes().all(known)
    };
    let scheme = if call.request.is_secure { "https" } else { "http" };
    match call.request.header_values("host").find(is_plain) {
        Some(host) => format!("{scheme}://{host}"),
        None => format!("{scheme}://{}", call.service.address),
    }
}

#[cfg(test)]
mod tests;

//! Search: `GET /v1/datasets/{dataset}/search`. Parameters are told apart here; what they mean is the matter of
//! `records::search`.

use crate::error::{Error, Result, nearest};
use crate::http::api::rows::{count_of, counts_all, fields, stored};
use crate::http::message::{Request, Response, encode};
use crate::http::routes::Call;
use crate::limits;
use crate::query::budget::Limits;
use crate::query::format::{self, Format};
use crate::query::page::Page;
use crate::records::search::{self as searching, Found, SearchRequest};

/// What the route takes.
pub const PARAMETERS: [&str; 9] =
    ["q", "where", "order", "fields", "facets", "limit", "cursor", "count", "cache"];

/// `GET /v1/datasets/{dataset}/search`.
pub fn search(call: &Call<'_>) -> Result<Response> {
    let wanted = read(call.dataset(), call.request, call.limits())?;
    let store = &call.service.store;
    let found = searching::search(&call.snapshot(), store.secret(), &wanted)?;
    let Found { rows, facets, next, total, told, age } = found;
    let page = Page { rows, next, prev: None, total };
    let form = call.request.format();
    let body = match form {
        Format::Csv => format::page_csv(&page, None)?,
        Format::Ndjson => format::page_ndjson(&page),
        Format::Json => format::found_json(&page, &facets, &told)?,
    };
    let mut response = Response::ok(form.content_type(), body);
    response.headers.push(("Age", age.as_secs().to_string().into()));
    if let Some(next) = &page.next {
        let kept = call.request.parameters.iter().filter(|(known, _)| known != "cursor");
        let kept: String =
            kept.map(|(known, value)| format!("{}={}&", encode(known), encode(value))).collect();
        let link = format!("<{}?{kept}cursor={}>; rel=\"next\"", call.request.path, encode(next));
        response.headers.push(("Link", link.into()));
    }
    Ok(response)
}

fn read(dataset: &str, request: &Request, limits: Limits) -> Result<SearchRequest> {
    let text = |name| request.parameter(name).map(str::to_owned);
    let by_rank = match request.parameter("order") {
        None => None,
        Some("rank") => Some(true),
        Some("newest") => Some(false),
        Some(other) => {
            let hint = nearest(other, ["rank", "newest"].into_iter());
            return Err(Error::invalid(format!("order is rank or newest here, not \"{other}\"{hint}")));
        }
    };
    let Some(q) = text("q") else {
        return Err(Error::invalid("q is missing: the words to look for, as in q=sql+injection"));
    };
    Ok(SearchRequest {
        dataset: dataset.to_owned(),
        text: q,
        filter: text("where"),
        by_rank,
        fields: request.parameter("fields").map(fields).transpose()?,
        facets: request.parameter("facets").map(fields).transpose()?.unwrap_or_default(),
        limit: count_of(request, "limit", limits::PAGE_ROWS)?,
        cursor: text("cursor"),
        count: counts_all(request)?,
        cache: stored(request)?,
        limits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::Method;

    #[test]
    fn parameters_become_a_search() {
        let request = |parameters: &str| {
            Request::new(Method::Get, &format!("/v1/datasets/d/search?{parameters}")).unwrap()
        };
        let read = |parameters: &str| read("d", &request(parameters), Limits::default());
        let wanted = read("q=sql+injecton&facets=tags,severity&order=newest&limit=5&count=exact").unwrap();
        assert_eq!(
            (wanted.text.as_str(), wanted.by_rank, wanted.limit),
            ("sql injecton", Some(false), Some(5))
        );
        assert_eq!(wanted.facets, ["tags", "severity"]);
        assert!(wanted.count && wanted.cursor.is_none());
        for (parameters, word) in [
            ("", "q is missing"),
            ("q=a&order=best", "rank"),
            ("q=a&limit=0", "limit"),
            ("q=a&limit=1000000000", "10000"),
            ("q=a&count=1", "exact"),
            ("q=a&facets=", "empty"),
        ] {
            let refused = read(parameters).map(|_| ()).expect_err(parameters).to_string();
            assert!(refused.contains(word), "{parameters}: {refused}");
        }
    }
}

//! Rows page by page: `GET /v1/datasets/{dataset}/rows`. Parameters are told apart here; what they mean is the
//! matter of `query::page`.

use crate::cache::class::Use;
use crate::error::{Error, Result};
use crate::http::message::{Request, Response, encode};
use crate::http::routes::Call;
use crate::limits;
use crate::query::budget::Limits;
use crate::query::format::{self, Format, PageNumber};
use crate::query::page::{Page, PageRequest};
use crate::records::relations;

/// What the route takes.
pub const PARAMETERS: [&str; 10] =
    ["where", "order", "fields", "include", "limit", "cursor", "count", "page", "per_page", "cache"];

/// `GET /v1/datasets/{dataset}/rows`.
pub fn page(call: &Call<'_>) -> Result<Response> {
    let (mut wanted, number) = read(call.dataset(), call.request)?;
    wanted.limits = call.limits();
    let store = &call.service.store;
    let include = relations::paths(call.request.parameter("include"))?;
    let page = relations::page(&call.snapshot(), store.secret(), &wanted, &include)?;
    let form = call.request.format();
    let body = match form {
        Format::Csv => format::page_csv(&page, wanted.fields.as_deref())?,
        Format::Ndjson => format::page_ndjson(&page),
        Format::Json => format::page_json(&page, number),
    };
    let mut response = Response::ok(form.content_type(), body);
    if let Some(links) = links(call.request, &page, number) {
        response.headers.push(("Link", links.into()));
    }
    Ok(response)
}

fn read(dataset: &str, request: &Request) -> Result<(PageRequest, Option<PageNumber>)> {
    let text = |name| request.parameter(name).map(str::to_owned);
    let limit = count_of(request, "limit", limits::PAGE_ROWS)?;
    let per_page = count_of(request, "per_page", limits::PAGE_ROWS)?;
    let page = count_of(request, "page", usize::MAX)?;
    let numbered = page.is_some() || per_page.is_some();
    if numbered && (limit.is_some() || request.parameter("cursor").is_some()) {
        return Err(Error::invalid(
            "page and per_page do not go with limit and cursor; use either page numbers or cursors",
        ));
    }
    let count = counts_all(request)?;
    // a page is read as quickly as it would be found
    stored(request)?;
    let number = numbered.then(|| PageNumber {
        page: page.unwrap_or(1),
        per_page: per_page.unwrap_or(limits::PAGE_ROWS_DEFAULT),
    });
    let wanted = PageRequest {
        dataset: dataset.to_owned(),
        filter: text("where"),
        order: text("order"),
        fields: request.parameter("fields").map(fields).transpose()?,
        limit: number.map(|number| number.per_page).or(limit),
        cursor: text("cursor"),
        count: count || numbered,
        page: number.map(|number| number.page),
        limits: Limits::default(),
    };
    Ok((wanted, number))
}

/// Which stored answers are welcome: `cache=`.
///
/// # Errors
/// What is none of its values.
pub(super) fn stored(request: &Request) -> Result<Use> {
    request.parameter("cache").map_or(Ok(Use::Exact), Use::read)
}

/// Whether everything that counts is to be counted: `count=exact`.
///
/// # Errors
/// Other values.
pub(super) fn counts_all(request: &Request) -> Result<bool> {
    match request.parameter("count") {
        None => Ok(false),
        Some("exact") => Ok(true),
        Some(other) => {
            Err(Error::invalid(format!("count=\"{other}\" is not known; it is count=exact or left out")))
        }
    }
}

/// The value of a parameter that counts, from 1 to the most there may be.
pub(super) fn count_of(request: &Request, name: &str, most: usize) -> Result<Option<usize>> {
    let Some(text) = request.parameter(name) else { return Ok(None) };
    // a sign is no digit, though parse takes one
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<usize>().ok().filter(|number| digits && (1..=most).contains(number));
    let bound = if most == usize::MAX { "1 on".to_owned() } else { format!("1 to {most}") };
    number
        .map(Some)
        .ok_or_else(|| Error::invalid(format!("{name} is a whole number from {bound}, not \"{text}\"")))
}

/// The names of `fields=`.
///
/// # Errors
/// An empty name.
pub(super) fn fields(text: &str) -> Result<Vec<String>> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(Error::invalid(format!(
            "fields=\"{text}\" has an empty name; give names with commas between, or leave fields out for all"
        )));
    }
    Ok(names)
}

/// The `Link` header: the same request with another cursor or page number.
fn links(request: &Request, page: &Page, number: Option<PageNumber>) -> Option<String> {
    let link = |relation: &str, name: &str, value: &str| {
        let kept = request.parameters.iter().filter(|(known, _)| known != name);
        let kept = kept.map(|(known, value)| format!("{}={}&", encode(known), encode(value)));
        format!("<{}?{}{name}={}>; rel=\"{relation}\"", request.path, kept.collect::<String>(), encode(value))
    };
    let mut links = Vec::new();
    if let Some(number) = number {
        let pages = number.pages(page.total.unwrap_or(0));
        let at = number.page as u64;
        if at < pages {
            links.push(link("next", "page", &(at + 1).to_string()));
        }
        if at > 1 {
            links.push(link("prev", "page", &(at - 1).min(pages).to_string()));
        }
    } else {
        links.extend(page.next.iter().map(|cursor| link("next", "cursor", cursor)));
        links.extend(page.prev.iter().map(|cursor| link("prev", "cursor", cursor)));
    }
    (!links.is_empty()).then(|| links.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::Method;

    fn request(parameters: &str) -> Request {
        Request::new(Method::Get, &format!("/v1/datasets/d/rows?{parameters}")).unwrap()
    }

    #[test]
    fn parameters_become_a_page_request() {
        let (wanted, number) = read(
            "d",
            &request("where=n+%3E+1&order=-n&fields=a,b.c&limit=7&cursor=x&count=exact&cache=false"),
        )
        .unwrap();
        assert_eq!((wanted.filter.as_deref(), wanted.order.as_deref()), (Some("n > 1"), Some("-n")));
        assert_eq!(wanted.fields.unwrap(), ["a", "b.c"]);
        assert_eq!((wanted.limit, wanted.cursor.as_deref(), wanted.count), (Some(7), Some("x"), true));
        assert!(number.is_none() && wanted.page.is_none());
        let (wanted, number) = read("d", &request("page=3&per_page=20")).unwrap();
        assert_eq!((wanted.page, wanted.limit, wanted.count), (Some(3), Some(20), true));
        assert_eq!(number.unwrap().page, 3);
        assert_eq!(read("d", &request("page=2")).unwrap().0.limit, Some(limits::PAGE_ROWS_DEFAULT));
    }

    #[test]
    fn wrong_values_are_refused_by_their_name() {
        for (parameters, word) in [
            ("limit=0", "limit"),
            ("limit=-1", "limit"),
            ("limit=%2B1", "limit"),
            ("limit=ten", "limit"),
            ("limit=", "limit"),
            ("limit=10001", "10000"),
            ("limit=99999999999999999999", "limit"),
            ("per_page=10001", "per_page"),
            ("page=0", "page"),
            ("page=1&cursor=x", "cursor"),
            ("per_page=1&limit=1", "limit"),
            ("count=roughly", "exact"),
            ("cache=no", "cache"),
            ("fields=", "fields"),
            ("fields=a,,b", "fields"),
        ] {
            let refused = read("d", &request(parameters)).map(|_| ()).expect_err(parameters).to_string();
            assert!(refused.contains(word), "{parameters}: {refused}");
        }
    }

    #[test]
    fn links_repeat_the_request() {
        let page =
            Page { next: Some("n-1".into()), prev: Some("p_1".into()), total: Some(50), ..Page::default() };
        let by_cursor = links(&request("where=s+%3C%3E+'%C3%BC'&cursor=old&limit=2"), &page, None).unwrap();
        let kept = "where=s%20%3C%3E%20%27%C3%BC%27&limit=2&cursor=";
        let expected = format!(
            "</v1/datasets/d/rows?{kept}n-1>; rel=\"next\", </v1/datasets/d/rows?{kept}p_1>; rel=\"prev\""
        );
        assert_eq!(by_cursor, expected);
        let number = |page| Some(PageNumber { page, per_page: 10 });
        let last = links(&request("page=5&per_page=10"), &page, number(5)).unwrap();
        assert_eq!(last, "</v1/datasets/d/rows?per_page=10&page=4>; rel=\"prev\"");
        assert_eq!(links(&request(""), &Page::default(), None), None);
    }
}

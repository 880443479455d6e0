//! The page as HTML: a heading, numbers, the chart, lists, the calls; and what stands there instead where there is
//! nothing to draw. Called by `ui::page`.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::http::message::{Response, encode};
use crate::http::problem::Problem;
use crate::query::answer::Answer;
use crate::store::snapshot::Dataset;
use crate::value::{Value, grouped};

use super::calls::{Asked, Calls, number};
use super::chart::{self, NARROW, WIDE};
use super::markup::Markup;
use super::numbers::{change, day, share};
use super::window::Window;

/// Seconds until the page asks for itself again.
const REFRESH_S: &str = "10";
/// Datasets that are linked to; `GET /v1/datasets` has them all.
const LINKS: usize = 20;

const STYLE: &str = include_str!("page.css");

/// Nothing is loaded from anywhere, no script runs, and of styles only the page's own, told by its hash.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'"
    )
});

/// What is around the page of whatever dataset.
pub struct Frame<'a> {
    /// `http://host` for calls that can be pasted.
    pub origin: String,
    /// All datasets, as they are linked to.
    pub datasets: Vec<Arc<Dataset>>,
    /// The zone that was asked for.
    pub tz: Option<&'a str>,
    /// Whether the page asks for itself again.
    pub refreshes: bool,
    /// What curl has to send along, as it stands in a shell.
    pub authorization: &'static str,
    /// Whether there is a session to end.
    pub signs_out: bool,
}

/// What is drawn of one dataset.
pub struct Page<'a> {
    pub dataset: &'a Dataset,
    /// How many events there are.
    pub rows: u64,
    pub window: &'a Window,
    pub calls: &'a Calls,
}

/// The reply that carries a page.
pub fn response(status: u16, html: String) -> Response {
    let headers = vec![
        ("Content-Type", "text/html; charset=utf-8".into()),
        ("Content-Security-Policy", POLICY.as_str().into()),
        ("X-Content-Type-Options", "nosniff".into()),
        ("X-Frame-Options", "DENY".into()),
        ("Referrer-Policy", "no-referrer".into()),
    ];
    Response { status, headers, body: html.into_bytes() }
}

/// The page of a dataset.
pub fn dataset(frame: &Frame<'_>, page: &Page<'_>) -> String {
    let name = &*page.dataset.name;
    let mut out = Markup::default();
    heading(&mut out, frame, Some(name));
    tiles(&mut out, page);
    series(&mut out, page);
    out.tags("<div class=\"lists\">\n");
    let total = page.calls.total.outcome.as_ref().map_or(0, |answer| number(answer, 0, 0));
    for (field, asked) in &page.calls.lists {
        list(&mut out, field, asked, total);
    }
    out.tags("</div>\n");
    calls(&mut out, frame, page.calls);
    whole(frame, Some(name), &out)
}

/// The page without events: of a dataset, or of a database that has none.
pub fn empty(frame: &Frame<'_>, name: Option<&str>) -> String {
    let mut out = Markup::default();
    heading(&mut out, frame, name);
    out.tags("<section class=\"card\">\n<h2>There are no events yet</h2>\n<p>Send the first one, and it is here:</p>\n<pre>");
    let dataset = name.unwrap_or("visits");
    let call = format!(
        "curl -s {}{}/v1/datasets/{dataset}/events -d {}",
        frame.authorization, frame.origin, r#"'{"path": "/", "country": "DE", "ms": 12}'"#
    );
    out.text(&call).tags("</pre>\n<p>Files come in while the server does not run:</p>\n<pre>");
    out.text(&format!("windrow import {dataset} {dataset}.csv")).tags("</pre>\n</section>\n");
    whole(frame, name, &out)
}

/// The page in the place of one that cannot be drawn.
pub fn problem(frame: &Frame<'_>, problem: &Problem) -> String {
    let mut out = Markup::default();
    heading(&mut out, frame, None);
    out.tags("<section class=\"card\">\n<h2>").text(problem.title).tags("</h2>\n");
    told(&mut out, problem);
    out.tags("</section>\n");
    whole(&Frame { refreshes: false, origin: String::new(), datasets: Vec::new(), ..*frame }, None, &out)
}

/// From the first to the last tag.
fn whole(frame: &Frame<'_>, name: Option<&str>, body: &Markup) -> String {
    let mut out = head(name, frame.refreshes);
    out.add(body);
    footer(&mut out, frame, name);
    out.tags("</main>\n</body>\n</html>\n");
    out.into_string()
}

/// What is before the body of every page. No other server is told where one comes from; pages of this one are, because
/// without it a browser sends forms as if they came from nowhere (`Origin: null`).
fn head(name: Option<&str>, refreshes: bool) -> Markup {
    let mut out = Markup::default();
    out.tags("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.tags("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.tags("<meta name=\"color-scheme\" content=\"light dark\">\n");
    out.tags("<meta name=\"referrer\" content=\"same-origin\">\n");
    if refreshes {
        out.tags("<meta http-equiv=\"refresh\" content=\"").tags(REFRESH_S).tags("\">\n");
    }
    out.tags("<link rel=\"icon\" href=\"data:,\">\n<title>");
    if let Some(name) = name {
        out.text(name).tags(" · ");
    }
    out.tags("Windrow</title>\n<style>").tags(STYLE).tags("</style>\n</head>\n<body>\n<main>\n");
    out
}

/// The page with the form for a key; `why` tells what went wrong before.
pub fn sign_in(why: Option<&str>) -> String {
    let mut out = head(Some("Sign in"), false);
    out.tags("<header>\n<h1>Windrow</h1>\n</header>\n<section class=\"card\">\n<h2>Sign in</h2>\n");
    if let Some(why) = why {
        out.tags("<p class=\"problem\">").text(why).tags("</p>\n");
    }
    out.tags("<form class=\"signin\" method=\"post\" action=\"/signin\">\n<label for=\"key\">A key that may read</label>\n");
    out.tags("<input id=\"key\" name=\"key\" type=\"password\" autocomplete=\"current-password\" required autofocus>\n");
    out.tags("<button>Sign in</button>\n</form>\n<p class=\"soft\">Where the server runs, <code>windrow keys add NAME --scope read</code> \
              makes a key; the link that the server prints when it starts signs in without one.</p>\n</section>\n");
    out.tags("<footer>\n<span>Windrow ").tags(env!("CARGO_PKG_VERSION"));
    out.tags("</span>\n</footer>\n</main>\n</body>\n</html>\n");
    out.into_string()
}

fn heading(out: &mut Markup, frame: &Frame<'_>, name: Option<&str>) {
    out.tags("<header>\n<h1>").text(name.unwrap_or("Windrow")).tags("</h1>\n");
    let others = frame.datasets.iter().filter(|dataset| name != Some(&*dataset.name)).take(LINKS);
    let mut others = others.peekable();
    if others.peek().is_some() {
        out.tags("<nav aria-label=\"Other datasets\">");
        for other in others {
            let link = address(frame, Some(&other.name), frame.refreshes);
            out.tags("<a href=\"").text(&link).tags("\">").text(&other.name).tags("</a> ");
        }
        out.tags("</nav>\n");
    }
    out.tags("</header>\n");
}

/// The page of a dataset, as a link.
fn address(frame: &Frame<'_>, name: Option<&str>, refreshes: bool) -> String {
    let tz = frame.tz.map(|tz| format!("tz={}", encode(tz)));
    let name = name.map(|name| format!("dataset={}", encode(name)));
    let refresh = (!refreshes).then(|| "refresh=off".to_owned());
    let parameters: Vec<String> = [name, tz, refresh].into_iter().flatten().collect();
    match parameters.is_empty() {
        true => "/".into(),
        false => format!("/?{}", parameters.join("&")),
    }
}

fn tiles(out: &mut Markup, page: &Page<'_>) {
    let window = page.window;
    let tz = &window.calendar.tz;
    let none = Vec::new;
    let days = page.calls.series.outcome.as_ref().map_or_else(|_| none(), chart::days);
    let (now, before) = page
        .calls
        .total
        .outcome
        .as_ref()
        .map_or((0, 0), |answer| (number(answer, 0, 0), number(answer, 0, 1)));
    let last = days.last().map_or(0, |day| day.events);
    out.tags("<div class=\"tiles\">\n");
    let newest = match window.ends_now {
        true => "Today so far".to_owned(),
        false => format!("On {}", day(window.to_us - 1, tz, true)),
    };
    let usual: Vec<u64> = days.iter().rev().skip(1).map(|day| day.events).collect();
    let average = usual.iter().sum::<u64>() / (usual.len() as u64).max(1);
    tile(out, &newest, &grouped(last), &format!("{} on an average day", grouped(average)), "");
    let span = format!("{} to {}", day(window.from_us, tz, false), day(window.to_us - 1, tz, false));
    tile(out, &format!("{} days", days.len()), &grouped(now), &span, "");
    let changed = change(now, before);
    let tone = match now.cmp(&before) {
        _ if changed.is_none() => "",
        std::cmp::Ordering::Greater => "up",
        std::cmp::Ordering::Less => "down",
        std::cmp::Ordering::Equal => "",
    };
    let earlier = match changed {
        Some(_) => format!("{} in as long a time before", grouped(before)),
        None => "there was nothing before".into(),
    };
    tile(out, "Change", changed.as_deref().unwrap_or("\u{2013}"), &earlier, tone);
    let (first, last) = window.events_us;
    let all = format!("{} to {}", day(first, tz, true), day(last, tz, true));
    tile(out, "All events", &grouped(page.rows), &all, "");
    out.tags("</div>\n");
}

fn tile(out: &mut Markup, label: &str, value: &str, note: &str, tone: &'static str) {
    out.tags("<dl class=\"card\"><dt>").text(label).tags("</dt><dd class=\"number ").tags(tone).tags("\">");
    out.text(value).tags("</dd><dd>").text(note).tags("</dd></dl>\n");
}

fn series(out: &mut Markup, page: &Page<'_>) {
    out.tags("<section class=\"card\">\n<h2>Events by day</h2>\n");
    if !page.window.ends_now {
        let tz = &page.window.calendar.tz;
        let (first, last) = (day(page.window.from_us, tz, true), day(page.window.to_us - 1, tz, true));
        out.tags(
            "<p class=\"soft\">No events in the last 30 days; these are the 30 days up to the newest one, ",
        );
        out.text(&first).tags(" to ").text(&last).tags(".</p>\n");
    }
    match &page.calls.series.outcome {
        Ok(answer) => {
            let days = chart::days(answer);
            for layout in [WIDE, NARROW] {
                out.add(&chart::draw(&layout, &days, "Events by day", &page.window.calendar.tz));
            }
            legend(out, &days);
        }
        Err(problem) => told(out, problem),
    }
    out.tags("</section>\n");
}

/// What is not plain in the chart is explained, where it is there.
fn legend(out: &mut Markup, days: &[chart::Day]) {
    let (partial, gap) = (days.iter().any(|day| day.is_partial), days.iter().any(|day| day.is_gap));
    if !partial && !gap {
        return;
    }
    out.tags("<p class=\"legend\">");
    if partial {
        out.tags("<span><svg class=\"chart\" viewBox=\"0 0 12 12\" aria-hidden=\"true\">");
        out.tags("<rect class=\"bar partial\" x=\"1\" y=\"1\" width=\"10\" height=\"10\"/></svg>not over yet</span>");
    }
    if gap {
        out.tags("<span><svg class=\"chart\" viewBox=\"0 0 12 12\" aria-hidden=\"true\">");
        out.tags("<circle class=\"gap\" cx=\"6\" cy=\"6\" r=\"2.5\"/></svg>no events</span>");
    }
    out.tags("</p>\n");
}

fn list(out: &mut Markup, field: &str, asked: &Asked, total: u64) {
    out.tags("<section class=\"card\">\n");
    match &asked.outcome {
        Ok(answer) => table(out, field, answer, total),
        Err(problem) => {
            out.tags("<h2>").text(field).tags("</h2>\n");
            told(out, problem);
        }
    }
    out.tags("</section>\n");
}

fn table(out: &mut Markup, field: &str, answer: &Answer, total: u64) {
    out.tags("<table>\n<caption>")
        .text(field)
        .tags("</caption>\n<thead><tr><th class=\"value\" scope=\"col\">value</th>");
    out.tags("<th class=\"number\" scope=\"col\">events</th><th class=\"share\" scope=\"col\">share</th></tr></thead>\n<tbody>\n");
    let most = (0..answer.rows.len()).map(|row| number(answer, row, 1)).max().unwrap_or(0);
    for (row, cells) in answer.rows.iter().enumerate() {
        let events = number(answer, row, 1);
        out.tags("<tr><th scope=\"row\"");
        match cells.first() {
            None | Some(Value::Null) => out.tags("><span class=\"soft\">none</span>"),
            Some(value) if value.as_str() == Some("") => out.tags("><span class=\"soft\">empty</span>"),
            Some(value) => out.tags(" title=\"").text(&value.to_text()).tags("\">").text(&value.to_text()),
        };
        out.tags("</th><td class=\"number\">").text(&grouped(events)).tags("</td><td class=\"share\">");
        out.text(&share(events, total)).tags("</td></tr>\n");
        let per_mille = u128::from(events) * 1_000 / u128::from(most.max(1));
        out.tags("<tr class=\"meter\" aria-hidden=\"true\"><td colspan=\"3\"><svg viewBox=\"0 0 1000 4\" preserveAspectRatio=\"none\">");
        out.tags(
            "<rect class=\"whole\" width=\"1000\" height=\"4\"/><rect class=\"part\" height=\"4\" width=\"",
        );
        out.text(&per_mille.to_string()).tags("\"/></svg></td></tr>\n");
    }
    out.tags("</tbody>\n</table>\n");
}

fn calls(out: &mut Markup, frame: &Frame<'_>, calls: &Calls) {
    let count = match calls.iter().count() {
        5 => "five".to_owned(),
        other => other.to_string(),
    };
    out.tags("<section class=\"card\">\n<h2>The ").text(&count).tags(" calls behind this page</h2>\n");
    out.tags("<p class=\"soft\">Paste one into a shell: it answers with the numbers above.</p>\n<ol>\n");
    for asked in calls.iter() {
        out.tags("<li>").text(&asked.title);
        if let Ok(answer) = &asked.outcome {
            out.tags(" <span class=\"soft\">· ")
                .text(&format!("{:.1}", answer.stats.elapsed_ms))
                .tags(" ms</span>");
        }
        // within quotes of the shell, a quote ends them, stands escaped, and begins them again
        let body = asked.body.replace('\'', r"'\''");
        out.tags("<pre>curl -s ")
            .text(frame.authorization)
            .text(&frame.origin)
            .tags("/v1/query -d '")
            .text(&body)
            .tags("'</pre></li>\n");
    }
    out.tags("</ol>\n</section>\n");
}

fn told(out: &mut Markup, problem: &Problem) {
    out.tags("<p class=\"problem\">").text(&problem.detail).tags("</p>\n");
}

fn footer(out: &mut Markup, frame: &Frame<'_>, name: Option<&str>) {
    out.tags("<footer>\n");
    if frame.origin.is_empty() {
        out.tags("<a href=\"/\">The largest dataset</a>\n");
    } else {
        let other = address(frame, name, !frame.refreshes);
        let (state, link) = match frame.refreshes {
            true => ("The page refreshes itself every 10 seconds", "stop that"),
            false => ("The page does not refresh itself", "refresh it every 10 seconds"),
        };
        out.tags("<span>")
            .tags(state)
            .tags(": <a href=\"")
            .text(&other)
            .tags("\">")
            .tags(link)
            .tags("</a>.</span>\n");
        out.tags("<span>Days are those of ").text(frame.tz.unwrap_or("UTC")).tags(".</span>\n");
    }
    out.tags("<span>Windrow ").tags(env!("CARGO_PKG_VERSION")).tags("</span>\n");
    if frame.signs_out {
        out.tags("<form method=\"post\" action=\"/signout\"><button>Sign out</button></form>\n");
    }
    out.tags("</footer>\n");
}

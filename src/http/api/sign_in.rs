//! Browsers: in by the one-time link that the server prints, or by a key; out again. What opens a page from then on is a
//! cookie, which scripts cannot read (HttpOnly) and other sites' requests do not carry (SameSite).
//!
//! SameSite is Lax and not Strict: a GET changes nothing, and with Strict a link to a dashboard, or the sign-in link itself
//! in a mail, would end at the form. What changes something is asked where it comes from, whatever the cookie
//! (`access/origin`).

use crate::error::Result;
use crate::http::access::audit::Entry;
use crate::http::access::origin::{self, Origin};
use crate::http::access::session::Holder;
use crate::http::access::{Access, Via, Who, token};
use crate::http::message::{Method, Response, decode_form};
use crate::http::routes::Call;
use crate::http::ui;
use crate::limits;
use crate::store::keys::{Refused, Scope};
use crate::time;

/// `GET /signin`: with the code of the link it signs in; without one it is a form for a key.
pub fn form(call: &Call<'_>) -> Result<Response> {
    if call.service.gate.is_open() {
        return Ok(Response::see_other("/"));
    }
    let Some(code) = call.request.parameter("code") else { return Ok(ui::sign_in(200, None)) };
    // who only looks at a link, as previews do, does not use it up
    if call.request.method == Method::Head {
        return Ok(ui::sign_in(200, None));
    }
    if !call.service.gate.sessions.take_code(code, time::now()) {
        return Ok(refused(call, 403, "The link was used already, or is older than 15 minutes."));
    }
    begin(call, Holder::Browser, &Access::of(Who::Browser))
}

/// `POST /signin`: a form with `key`.
pub fn enter(call: &Call<'_>) -> Result<Response> {
    let gate = &call.service.gate;
    if gate.is_open() {
        return Ok(Response::see_other("/"));
    }
    // a page of others shall not sign anyone in as somebody else
    if gate.origin(call.request) == Origin::Elsewhere {
        return Ok(origin::refusal(true));
    }
    let secret = field(&call.request.body, "key")?.unwrap_or_default();
    match gate.key(&call.service.store, secret.trim()) {
        Ok(key) if !key.grant.has(Scope::Read) => {
            Ok(refused(call, 403, "This key may not read, so there is nothing to show."))
        }
        Ok(key) => {
            let holder = Holder::Key(key.id.clone());
            begin(call, holder, &Access::of(Who::Key(key, Via::Session)))
        }
        Err(Refused::Expired) => Ok(refused(call, 403, "This key has expired.")),
        Err(Refused::Revoked) => Ok(refused(call, 403, "This key was revoked.")),
        Err(Refused::Rotated) => Ok(refused(call, 403, "This key has a new secret.")),
        Err(Refused::Unknown) => Ok(refused(call, 403, "This key is not known here.")),
    }
}

/// `POST /signout`. That it comes from a page of this server was asked before.
pub fn leave(call: &Call<'_>) -> Result<Response> {
    let gate = &call.service.gate;
    if let Some(token) = token(call.request, gate.cookie()) {
        gate.sessions.end(token);
        note(call, call.access.name(), "signout", 303);
    }
    let mut response = Response::see_other("/signin");
    response.headers.push(("Set-Cookie", format!("{}; Max-Age=0", cookie(call, "")).into()));
    Ok(response)
}

fn begin(call: &Call<'_>, holder: Holder, access: &Access) -> Result<Response> {
    let token = call.service.gate.sessions.begin(holder, time::now())?;
    note(call, access.name(), "signin", 303);
    let mut response = Response::see_other("/");
    let age_s = limits::SESSION_US / 1_000_000;
    response.headers.push(("Set-Cookie", format!("{}; Max-Age={age_s}", cookie(call, &token)).into()));
    response.headers.push(("Referrer-Policy", "no-referrer".into()));
    Ok(response)
}

fn cookie(call: &Call<'_>, token: &str) -> String {
    let secure = if call.request.is_secure { "; Secure" } else { "" };
    format!("{}={token}; Path=/; HttpOnly; SameSite=Lax{secure}", call.service.gate.cookie())
}

fn refused(call: &Call<'_>, status: u16, why: &str) -> Response {
    let entry =
        Entry { detail: why.to_owned(), ..entry(call, Access::of(Who::Nobody).name(), "signin", status) };
    call.service.gate.audit.refused(&call.service.store, &entry);
    ui::sign_in(status, Some(why))
}

fn note(call: &Call<'_>, who: String, action: &'static str, status: u16) {
    call.service.gate.audit.done(&call.service.store, &entry(call, who, action, status));
}

fn entry(call: &Call<'_>, who: String, action: &'static str, status: u16) -> Entry {
    Entry { who, action, status, client: call.request.address, ..Entry::default() }
}

/// A field of a form.
fn field(body: &[u8], name: &str) -> Result<Option<String>> {
    let text = String::from_utf8_lossy(body);
    let value = text.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name);
    value.map(|(_, value)| decode_form(value)).transpose()
}

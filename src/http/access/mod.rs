//! How a request is let in. `routes` asks [`Gate::admit`] before any handler runs: who is it (`credentials`, `session`), and
//! may he do what the route needs ([`Need`])? `origin` keeps web pages of others out, `audit` notes what was done.
//!
//! What must hold: a request without a decision is refused; a handler reads and writes within [`Access::reach`], which is in
//! [`crate::http::routes::Call::limits`]; nothing here ever prints or keeps a secret.

pub mod audit;
mod credentials;
pub mod origin;
pub mod session;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::error::Result;
use crate::http::access::audit::{Audit, Entry};
pub use crate::http::access::credentials::token;

use crate::http::access::credentials::Given;
use crate::http::access::origin::Origin;
use crate::http::access::session::{Holder, Sessions};
use crate::http::message::{Method, Request, Response};
use crate::http::problem::{FORBIDDEN, Problem, UNAUTHORIZED};
use crate::query::reach::Reach;
use crate::store::Store;
use crate::store::keys::secret::{self, Hash};
use crate::store::keys::{Grant, Key, Refused, Scope};
use crate::time;

/// What a route needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: anyone is let in.
    Nothing,
    /// `read`; a browser that has not signed in is sent to do so.
    Page,
    /// `read`.
    Read,
    /// `ingest`.
    Ingest,
    /// `ingest` and `read`: which rows a condition is true for shows in the reply, so it is a question too.
    IngestAndRead,
    /// `admin`, and what is noted in the audit log of it, where it changes something.
    Admin(Option<&'static str>),
}

impl Need {
    /// The scopes.
    pub fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Nothing => &[],
            Self::Page | Self::Read => &[Scope::Read],
            Self::Ingest => &[Scope::Ingest],
            Self::IngestAndRead => &[Scope::Ingest, Scope::Read],
            Self::Admin(_) => &[Scope::Admin],
        }
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub enum Who {
    /// Nobody that is known.
    Nobody,
    /// Anyone, where the server runs with `--no-auth`.
    Anyone,
    /// Who may read the lock file, and so the database: `windrow` beside the server.
    Owner,
    /// A browser that signed in by the link.
    Browser,
    /// A key, or a browser that signed in with it.
    Key(Arc<Key>, Via),
}

/// How a key came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// With the request.
    Request,
    /// By a session.
    Session,
}

/// What one request may do.
#[derive(Debug, Clone)]
pub struct Access {
    who: Who,
    reach: Arc<Reach>,
    /// Why his key's filter cannot be read any more.
    broken: Option<String>,
}

impl Access {
    /// That of somebody.
    pub fn of(who: Who) -> Self {
        let grant = match &who {
            Who::Key(key, _) if !key.grant.has(Scope::Admin) => &key.grant,
            _ => return Self { who, reach: Arc::default(), broken: None },
        };
        let (reach, broken) = match reach_of(grant) {
            Ok(reach) => (reach, None),
            Err(e) => (Reach::nothing(), Some(e.to_string())),
        };
        Self { who, reach: Arc::new(reach), broken }
    }

    /// Who it is.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// His name in the audit log.
    pub fn name(&self) -> String {
        match &self.who {
            Who::Nobody => "unknown".into(),
            Who::Anyone => "no-auth".into(),
            Who::Owner => "owner".into(),
            Who::Browser => "session".into(),
            Who::Key(key, Via::Request) => format!("key {}", key.id),
            Who::Key(key, Via::Session) => format!("session of key {}", key.id),
        }
    }

    /// Whether he may do everything.
    pub fn is_admin(&self) -> bool {
        match &self.who {
            Who::Nobody => false,
            Who::Anyone | Who::Owner | Who::Browser => true,
            Who::Key(key, _) => key.grant.has(Scope::Admin),
        }
    }

    /// Whether he came by a cookie.
    pub fn is_session(&self) -> bool {
        matches!(self.who, Who::Browser | Who::Key(_, Via::Session))
    }

    /// Whether it is a key that may stand in a page, where everyone sees it: one for `ingest` and nothing else.
    pub fn is_for_pages(&self) -> bool {
        matches!(&self.who, Who::Key(key, Via::Request) if key.grant.scopes == [Scope::Ingest])
    }

    /// What he may read and write. This is the one place that whatever enforces it asks.
    pub fn reach(&self) -> &Arc<Reach> {
        &self.reach
    }

    /// What is missing for a route, where something is.
    fn lacks(&self, need: Need, dataset: Option<&str>) -> Option<String> {
        let Who::Key(key, _) = &self.who else { return None };
        if let Some(scope) = need.scopes().iter().find(|scope| !key.grant.has(**scope)) {
            let held: Vec<&str> = key.grant.scopes.iter().map(|scope| scope.name()).collect();
            return Some(format!(
                "this takes a key with the scope \"{}\", and {} has {}",
                scope.name(),
                named(key),
                held.join(", ")
            ));
        }
        if need.scopes().is_empty() {
            return None;
        }
        if let Some(dataset) = dataset.filter(|dataset| !self.reach.takes(dataset)) {
            let all = match key.grant.datasets.as_slice() {
                [] => "all but the engine's own".to_owned(),
                datasets => datasets.join(", "),
            };
            return Some(format!(
                "{} may not touch the dataset \"{dataset}\"; its datasets are {all}",
                named(key)
            ));
        }
        self.broken.as_ref().map(|why| format!("{} has a filter that cannot be read: {why}", named(key)))
    }
}

/// What a key that is no admin's may touch.
///
/// # Errors
/// A filter or a pattern of datasets that is none.
pub fn reach_of(grant: &Grant) -> Result<Reach> {
    let datasets: Vec<&str> = match grant.datasets.as_slice() {
        [] => vec!["*"],
        some => some.iter().map(String::as_str).collect(),
    };
    Reach::new(&datasets, grant.filter.as_deref())
}

fn named(key: &Key) -> String {
    format!("the key {} ({})", key.id, key.name)
}

/// What stands before all handlers.
#[derive(Debug)]
pub struct Gate {
    is_open: bool,
    /// Names that the server is known by, besides addresses and localhost.
    hosts: Vec<String>,
    /// Whether only this machine reaches it: then other names are those of web pages that want in.
    is_local: bool,
    /// What a cookie of this server is called: browsers do not tell ports apart.
    cookie: String,
    /// Of what `windrow` beside the server shows.
    owner: Option<Hash>,
    /// Browsers that signed in.
    pub sessions: Sessions,
    /// The log of what was done.
    pub audit: Audit,
}

impl Gate {
    /// One for a server at an address that lets in who shows a key or a session; `is_open`: anyone.
    pub fn new(address: SocketAddr, hosts: &[String], is_open: bool) -> Self {
        Self {
            is_open,
            hosts: hosts.to_vec(),
            is_local: address.ip().is_loopback(),
            cookie: format!("windrow_{}", address.port()),
            owner: None,
            sessions: Sessions::default(),
            audit: Audit::default(),
        }
    }

    /// The same, which lets in who shows this too: it is in the lock file, for `windrow` beside the server. It does not begin as
    /// the secret of a key does.
    #[must_use]
    pub fn with_owner(self, pass: &str) -> Self {
        Self { owner: Some(secret::hash_of(pass)), ..self }
    }

    /// Whether anyone is let in.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The name of the session's cookie.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Where a request comes from, by what its browser says.
    pub fn origin(&self, request: &Request) -> Origin {
        origin::of(request, &self.hosts)
    }

    /// Refuses a request under a name that is none of this server's: a web page whose name leads here since a moment ago would
    /// be of the same origin as the server.
    pub fn check_host(&self, request: &Request) -> Result<(), Response> {
        if self.is_local { origin::check_host(request, &self.hosts) } else { Ok(()) }
    }

    /// Lets a request in for what its route needs, or says why not.
    pub fn admit(
        &self,
        store: &Store,
        request: &Request,
        need: Need,
        dataset: Option<&str>,
    ) -> Result<Access, Response> {
        let given = credentials::given(request, &self.cookie);
        let access = Access::of(self.who(store, &given));
        let refused = match self.refusal(request, need, dataset, &access, &given, store) {
            None => return Ok(access),
            Some(refused) => refused,
        };
        if !matches!((&access.who, &given), (Who::Nobody, Given::Nothing)) {
            let action = format!("{} {}", request.method.name(), request.path);
            self.audit.refused(
                store,
                &Entry {
                    who: access.name(),
                    action: "refused",
                    subject: action,
                    status: refused.status,
                    client: request.address,
                    ..Entry::default()
                },
            );
        }
        Err(refused)
    }

    fn who(&self, store: &Store, given: &Given<'_>) -> Who {
        if self.is_open {
            return Who::Anyone;
        }
        match given {
            Given::Nothing | Given::Unreadable => Who::Nobody,
            Given::Secret(text) => {
                let is_owner =
                    |hash: &Hash| !text.starts_with(secret::PREFIX) && hash.is(&secret::hash_of(text));
                if self.owner.as_ref().is_some_and(is_owner) {
                    return Who::Owner;
                }
                self.key(store, text).map_or(Who::Nobody, |key| Who::Key(key, Via::Request))
            }
            Given::Cookie(token) => match self.sessions.holder(token, time::now()) {
                Some(Holder::Browser) => Who::Browser,
                Some(Holder::Key(id)) => {
                    let ring = store.keys();
                    let key = ring.key(&id).ok().filter(|key| key.refusal(time::now()).is_none());
                    key.map_or(Who::Nobody, |key| {
                        note_use(store, key);
                        Who::Key(Arc::clone(key), Via::Session)
                    })
                }
                None => Who::Nobody,
            },
        }
    }

    /// The key that a secret opens, which is noted.
    pub fn key(&self, store: &Store, text: &str) -> Result<Arc<Key>, Refused> {
        let ring = store.keys();
        let key = ring.open(text, time::now())?;
        note_use(store, key);
        Ok(Arc::clone(key))
    }

    fn refusal(
        &self,
        request: &Request,
        need: Need,
        dataset: Option<&str>,
        access: &Access,
        given: &Given<'_>,
        store: &Store,
    ) -> Option<Response> {
        let changes = !matches!(request.method, Method::Get | Method::Head);
        // what a browser sends along by itself, a cookie or nothing at all, proves no will of who sits before it
        let is_ambient = access.is_session() || matches!(access.who, Who::Anyone);
        let from = self.origin(request);
        if changes
            && is_ambient
            && (from == Origin::Elsewhere || access.is_session() && from == Origin::Unknown)
        {
            return Some(origin::refusal(access.is_session()));
        }
        if need == Need::Nothing {
            return None;
        }
        if matches!(access.who, Who::Nobody) {
            if need == Need::Page && !matches!(given, Given::Secret(_)) {
                return Some(Response::see_other("/signin"));
            }
            return Some(unauthorized(given, store));
        }
        access.lacks(need, dataset).map(|what| Problem::new(FORBIDDEN, what).into_response())
    }
}

fn note_use(store: &Store, key: &Key) {
    let now_us = time::now();
    if key.note_use(now_us) {
        store.note_key_use(key, now_us);
    }
}

/// 401: what was shown, and how to show a key. Basic is taken and not offered: browsers would ask for a name and a password.
fn unauthorized(given: &Given<'_>, store: &Store) -> Response {
    const HOW: &str = "send a key as \"Authorization: Bearer wr_…\"; `windrow keys add` makes one";
    let (detail, challenge) = match given {
        Given::Nothing => (format!("this takes a key; {HOW}"), "Bearer realm=\"windrow\""),
        Given::Cookie(_) => {
            ("the session has ended; sign in again, or send a key".to_owned(), "Bearer realm=\"windrow\"")
        }
        Given::Unreadable => (
            format!("the Authorization header is not understood; {HOW}"),
            "Bearer realm=\"windrow\", error=\"invalid_request\"",
        ),
        Given::Secret(text) => {
            let why = match store.keys().open(text, time::now()) {
                Err(Refused::Expired) => "the key has expired; make another one with `windrow keys add`",
                Err(Refused::Revoked) => "the key was revoked; make another one with `windrow keys add`",
                Err(Refused::Rotated) => {
                    "the key has a new secret since it was rotated, and the time of grace is over"
                }
                Err(Refused::Unknown) | Ok(_) => {
                    "the key is not known to this server; `windrow keys` lists those that are"
                }
            };
            (why.to_owned(), "Bearer realm=\"windrow\", error=\"invalid_token\"")
        }
    };
    let mut response = Problem::new(UNAUTHORIZED, detail).into_response();
    response.headers.push(("WWW-Authenticate", challenge.into()));
    response
}

#[cfg(test)]
mod tests;

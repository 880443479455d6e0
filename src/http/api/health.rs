//! Whether the process lives, and whether it takes requests: for whoever watches it.

use crate::error::{Error, Result};
use crate::http::message::Response;
use crate::http::routes::Call;

/// `GET /healthz`.
pub fn healthz(_call: &Call<'_>) -> Result<Response> {
    Ok(Response::ok("application/json", b"{\"status\":\"ok\"}\n".to_vec()))
}

/// `GET /readyz`: the file is open before the first request can come, so only a stop makes it unready.
pub fn readyz(call: &Call<'_>) -> Result<Response> {
    if !call.service.is_ready() {
        return Err(Error::Busy {
            detail: "the server is stopping; ask another or later".into(),
            retry_after_s: 5,
        });
    }
    Ok(Response::ok("application/json", b"{\"status\":\"ready\"}\n".to_vec()))
}

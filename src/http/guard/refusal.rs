//! What the guard says itself, as bytes: the problems of requests that never reach a route. `front` sends it.

use crate::http::guard::head::Refusal;
use crate::http::problem;

/// A whole reply.
pub fn reply(refusal: &Refusal, is_last: bool) -> Vec<u8> {
    let response = problem::refused(refusal.status, &refusal.detail);
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    for (name, value) in &response.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let connection = if is_last { "Connection: close\r\n" } else { "" };
    let length = response.body.len();
    head.push_str(&format!(
        "Server: windrow\r\nCache-Control: no-store\r\nContent-Length: {length}\r\n{connection}\r\n"
    ));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&response.body);
    bytes
}

/// The phrase of a status, of those that the guard gives.
fn reason(status: u16) -> &'static str {
    match status {
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Bad Request",
    }
}

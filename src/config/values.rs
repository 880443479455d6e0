//! The values of settings, read from text. The errors are one sentence, behind which the setting is named.

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::nearest;
use crate::time::parse_duration;

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numeric.as_deref().unwrap_or(text).parse().map_err(|_| {
        format!("\"{text}\" is no address; write an IP address and a port, such as 127.0.0.1:7878")
    })
}

pub(super) fn names(text: &str) -> Result<Vec<String>, String> {
    let is_name = |name: &&str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    let all = text.split(',').map(str::trim).filter(|name| !text.trim().is_empty() || !name.is_empty());
    all.map(|name| {
        Some(name).filter(is_name).map(str::to_lowercase).ok_or_else(|| {
            format!("\"{name}\" is no name of a host; write names without a port, such as stats.example.org,stats.lan")
        })
    })
    .collect()
}

pub(super) fn whole(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse::<u32>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("\"{text}\" is no whole number from {least} to {most}"))
}

/// A span of time that is not nothing.
///
/// # Errors
/// What is none.
pub fn span(text: &str) -> Result<Duration, String> {
    let ms = text.strip_suffix("ms").and_then(|digits| whole(digits, 1, u32::MAX).ok());
    let time = match ms {
        Some(ms) => Some(Duration::from_millis(ms.into())),
        None => parse_duration(text).and_then(|us| u64::try_from(us).ok()).map(Duration::from_micros),
    };
    time.filter(|time| !time.is_zero())
        .ok_or_else(|| format!("\"{text}\" is no span of time; write one such as 500ms, 30s, 5m"))
}

pub(super) fn rows(text: &str) -> Result<Option<u64>, String> {
    if text == "unlimited" {
        return Ok(None);
    }
    let number = text.parse::<u64>().ok().filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| format!("\"{text}\" is no number of rows; write one, or unlimited"))
}

pub(super) fn one_of(text: &str, known: &[&'static str]) -> Result<&'static str, String> {
    known.iter().find(|name| **name == text).copied().ok_or_else(|| {
        format!("\"{text}\" is none of {}{}", known.join(", "), nearest(text, known.iter().copied()))
    })
}

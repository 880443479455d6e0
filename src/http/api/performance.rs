//! What would make questions about records faster, and what keeps them fast.

use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::http::message::Response;
use crate::http::routes::Call;
use crate::records::advice::{self, Advice};

/// The reply of `GET /v1/performance/recommendations`.
#[derive(Debug, Serialize)]
struct Recommendations {
    recommendations: Vec<Advice>,
}

/// `GET /v1/performance/recommendations`.
pub fn recommendations(call: &Call<'_>) -> Result<Response> {
    let recommendations = advice::advise(&call.snapshot())?;
    Response::json(&Recommendations { recommendations })
}

/// The reply of `POST /v1/performance/optimize`.
#[derive(Debug, Serialize)]
struct Optimized {
    bytes_before: u64,
    bytes_after: u64,
}

/// `POST /v1/performance/optimize`.
pub fn optimize(call: &Call<'_>) -> Result<Response> {
    let store = &call.service.store;
    let mut wal = store.path().as_os_str().to_owned();
    wal.push("-wal");
    let size = |path: &Path| path.metadata().map_or(0, |file| file.len());
    let bytes = || size(store.path()) + size(Path::new(&wal));
    let bytes_before = bytes();
    store.tidy_records()?;
    store.upkeep().give_back()?;
    store.checkpoint()?;
    Response::json(&Optimized { bytes_before, bytes_after: bytes() })
}

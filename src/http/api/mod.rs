//! The handlers, a file a thing; each is named in the table of `routes` and knows nothing of sockets.

pub mod cache;
pub mod datasets;
pub mod events;
pub mod health;
pub mod jobs;
pub mod keys;
pub mod live;
pub mod performance;
pub mod query;
pub mod records;
pub mod rows;
pub mod schedules;
pub mod search;
pub mod sequences;
pub mod sign_in;

#[cfg(test)]
mod reach_tests;
#[cfg(test)]
mod tests;

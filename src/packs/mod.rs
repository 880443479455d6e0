//! Packs: subjects that Windrow declares datasets for (`declared`), and brings data of its own for. Each has a generator of seeded sample data, which
//! `windrow sample` writes and `windrow demo` loads. [`PACKS`] is the table; a new pack is a row in it and a folder here.

pub mod declared;
pub mod random;
pub mod web;

use std::io::Write;

use crate::error::{Error, Result, nearest_or_first};
use crate::time::{DAY, days_from_civil};

/// What sample data are asked for. The same request gives the same bytes, on every machine and in every release that
/// does not say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRequest {
    /// What chance begins with.
    pub seed: u64,
    /// Exactly so many events.
    pub rows: u64,
    /// The earliest time, µs.
    pub from_us: i64,
    /// All times are before, µs.
    pub until_us: i64,
}

/// Where the times of sample data end unless something else is asked for: a fixed day, so that the same command gives
/// the same bytes next year.
pub const UNTIL_US: i64 = days_from_civil(2026, 11, 1) * DAY;
/// Days of sample data unless something else is asked for.
pub const DAYS: u64 = 90;
/// Events of sample data unless something else is asked for.
pub const ROWS: u64 = 10_000;

/// One subject.
#[derive(Debug)]
pub struct Pack {
    /// Its name on the command line.
    pub name: &'static str,
    /// The dataset that its data are meant for.
    pub dataset: &'static str,
    /// What its data are, in one line.
    pub doc: &'static str,
    /// Writes its sample data as NDJSON, in order of time, without holding them in memory.
    pub write: fn(&SampleRequest, &mut dyn Write) -> std::io::Result<()>,
}

/// Every pack.
pub const PACKS: [Pack; 1] = [Pack {
    name: "web",
    dataset: web::DATASET,
    doc: "page views and goals of three websites: visitors, sessions, referrers, countries",
    write: web::write,
}];

/// The pack of a name.
///
/// ```
/// let refused = windrow::packs::find("wep").unwrap_err().to_string();
/// assert!(refused.contains("did you mean \"web\"?"), "{refused}");
/// ```
///
/// # Errors
/// `NotFound` with those that there are.
pub fn find(name: &str) -> Result<&'static Pack> {
    PACKS.iter().find(|pack| pack.name == name).ok_or_else(|| {
        let hint = nearest_or_first(name, PACKS.iter().map(|pack| pack.name));
        Error::NotFound(format!("there is no pack \"{name}\"{hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::check_dataset_name;

    #[test]
    fn the_table_keeps_its_rules() {
        for (place, pack) in PACKS.iter().enumerate() {
            assert!(
                PACKS[..place].iter().all(|other| other.name != pack.name),
                "{} is there twice",
                pack.name
            );
            assert!(!pack.doc.is_empty() && !pack.doc.ends_with('.'), "{}", pack.name);
            check_dataset_name(pack.dataset).unwrap();
            assert_eq!(find(pack.name).unwrap().name, pack.name);
        }
    }
}

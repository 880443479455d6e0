//! The only wiring: builds the parts, starts and stops them in order. [`Engine`] is the library's way in, [`serve`]
//! the server's, [`demo`] that of a server with data of its own; nothing else opens a store together with what works on
//! it.

mod apply;
mod backups;
pub mod demo;
mod engine;
pub mod jobs;
mod outgoing;
pub mod serve;
mod upkeep;
mod warm;

use crate::cache::class::Classes;
use crate::cache::{CacheOptions, disk};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::store::StoreOptions;
use crate::store::open::Durability;

pub use engine::Engine;

/// What the settings say of the store.
pub fn store_options(settings: &Settings) -> StoreOptions {
    let durability = if settings.durability == "normal" { Durability::Normal } else { Durability::Full };
    StoreOptions {
        durability,
        readers: settings.readers,
        buffer_pool_bytes: settings.memory_mb << 20,
        seal_rows: settings.seal_rows,
        made_by: None,
    }
}

/// What the settings say of the cache.
///
/// # Errors
/// Ages that cannot be read.
pub fn cache_options(settings: &Settings) -> Result<CacheOptions> {
    let classes = Classes::read(&settings.cache_ages)
        .map_err(|e| Error::invalid(format!("the setting cache_ages: {e}")))?;
    Ok(CacheOptions {
        memory_bytes: settings.cache_memory_mb << 20,
        disk_bytes: (settings.cache_disk_mb as u64) << 20,
        file: Some(disk::beside(&settings.database)),
        classes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_taken_by_its_name() {
        let of = |durability| store_options(&Settings { durability, ..Settings::default() }).durability;
        assert_eq!((of("full"), of("normal")), (Durability::Full, Durability::Normal));
    }
}

#[cfg(test)]
mod reach_tests;
#[cfg(test)]
mod records_tests;

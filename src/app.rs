//! The only wiring: builds the parts, starts and stops them in order. [`Engine`] is the library's way in, [`serve`]
//! the server's, [`demo`] that of a server with data of its own; nothing else opens a store together with what works on
//! it.

pub mod demo;
mod engine;
pub mod serve;

use crate::config::Settings;
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
mod records_tests;

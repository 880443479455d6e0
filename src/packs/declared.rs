//! What packs declare: datasets as files of TOML in `schema/packs/<pack>/<dataset>.toml`, compiled in. `windrow datasets
//! --pack` declares all of a pack.

use crate::error::{Error, Result, nearest_or_first};
use crate::fields::Declaration;

/// A dataset that a pack declares.
#[derive(Debug)]
pub struct DeclaredDataset {
    /// The pack.
    pub pack: &'static str,
    /// The dataset.
    pub dataset: &'static str,
    /// Its declaration, as TOML.
    pub toml: &'static str,
}

macro_rules! declared {
    ($pack:literal, $dataset:literal) => {
        DeclaredDataset {
            pack: $pack,
            dataset: $dataset,
            toml: include_str!(concat!("../../schema/packs/", $pack, "/", $dataset, ".toml")),
        }
    };
}

/// Every dataset that a pack declares.
pub const DECLARED: [DeclaredDataset; 5] = [
    declared!("research", "queries"),
    declared!("research", "results"),
    declared!("research", "sessions"),
    declared!("threats", "vulnerabilities"),
    declared!("wiki", "pages"),
];

/// The datasets of a pack with their declarations.
///
/// ```
/// let declared = windrow::packs::declared::of("wiki").unwrap();
/// assert_eq!((declared[0].0, declared[0].1.key.as_slice()), ("pages", ["slug".to_owned()].as_slice()));
/// ```
///
/// # Errors
/// `NotFound` with the packs that declare datasets.
pub fn of(pack: &str) -> Result<Vec<(&'static str, Declaration)>> {
    let found: Vec<&DeclaredDataset> = DECLARED.iter().filter(|declared| declared.pack == pack).collect();
    if found.is_empty() {
        let mut packs: Vec<&str> = DECLARED.iter().map(|declared| declared.pack).collect();
        packs.dedup();
        let hint = nearest_or_first(pack, packs.into_iter());
        return Err(Error::NotFound(format!("no pack \"{pack}\" declares datasets{hint}")));
    }
    found.into_iter().map(|declared| Ok((declared.dataset, Declaration::from_toml(declared.toml)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::declare::declare;
    use crate::store::{Store, StoreOptions};
    use std::path::Path;

    #[test]
    fn every_file_is_in_the_table() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/packs");
        let mut files = Vec::new();
        for pack in std::fs::read_dir(root).unwrap() {
            for file in std::fs::read_dir(pack.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
                files.push((name(path.parent().unwrap()), name(&path)));
            }
        }
        files.sort();
        let table: Vec<(String, String)> =
            DECLARED.iter().map(|d| (d.pack.to_owned(), d.dataset.to_owned())).collect();
        assert_eq!(files, table);
    }

    #[test]
    fn every_pack_can_be_declared_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
        for _ in 0..2 {
            for pack in ["research", "threats", "wiki"] {
                for (dataset, declaration) in of(pack).unwrap() {
                    declare(&store, dataset, declaration).unwrap_or_else(|e| panic!("{pack} {dataset}: {e}"));
                }
            }
        }
        assert!(of("wikki").unwrap_err().to_string().contains("did you mean \"wiki\"?"));
    }
}

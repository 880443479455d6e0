//! Keys over a real file: what opens, what is kept, what a change does.

use super::*;
use crate::store::check::check;
use crate::store::progress::Progress;
use crate::store::{Store, StoreOptions};
use crate::time;

const NOW: i64 = 20_700 * time::DAY;

struct House {
    store: Store,
    folder: tempfile::TempDir,
}

fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
    House { store, folder }
}

impl House {
    fn restarted(self) -> Self {
        self.store.close();
        let Self { store, folder } = self;
        drop(store);
        let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
        Self { store, folder }
    }

    fn make(&self, expires_us: Option<i64>) -> Secret {
        let secret = Secret::draw().unwrap();
        let grant = Grant { scopes: vec![Scope::Read], datasets: vec!["web_*".into()], ..Grant::default() };
        self.store.make_key(Key::new("a".into(), grant, expires_us, &secret, NOW)).unwrap();
        secret
    }

    fn opens(&self, secret: &str, at_us: i64) -> Result<String, Refused> {
        self.store.keys().open(secret, at_us).map(|key| key.id.to_string())
    }
}

#[test]
fn a_key_opens_with_its_secret_alone_also_after_a_restart() {
    let house = house();
    let secret = house.make(None);
    let other = Secret::draw_for(secret.id()).unwrap();
    let house = house.restarted();
    assert_eq!(house.opens(secret.text(), NOW), Ok(secret.id().to_owned()));
    assert_eq!(house.opens(other.text(), NOW), Err(Refused::Unknown));
    assert_eq!(house.opens(Secret::draw().unwrap().text(), NOW), Err(Refused::Unknown));
    assert_eq!(house.opens("wr_", NOW), Err(Refused::Unknown));
    let ring = house.store.keys();
    let key = ring.key(secret.id()).unwrap();
    assert_eq!((key.grant.datasets[0].as_str(), key.name.as_str(), key.created_us), ("web_*", "a", NOW));
}

#[test]
fn a_key_that_expired_or_was_revoked_says_so_to_who_has_its_secret() {
    let house = house();
    let (expires, revoked) = (house.make(Some(NOW + 5)), house.make(None));
    assert!(house.opens(expires.text(), NOW + 4).is_ok());
    assert_eq!(house.opens(expires.text(), NOW + 5), Err(Refused::Expired));
    house.store.revoke_key(revoked.id(), NOW).unwrap();
    house.store.revoke_key(revoked.id(), NOW + 9).unwrap();
    let house = house.restarted();
    assert_eq!(house.opens(revoked.text(), NOW), Err(Refused::Revoked));
    let wrong = Secret::draw_for(revoked.id()).unwrap();
    assert_eq!(house.opens(wrong.text(), NOW), Err(Refused::Unknown));
    assert_eq!(house.store.keys().key(revoked.id()).unwrap().revoked_us, Some(NOW), "the first time counts");
    assert!(matches!(house.store.revoke_key("none", NOW), Err(Error::NotFound(_))));
}

#[test]
fn the_secret_before_a_rotation_opens_for_the_time_of_grace() {
    let house = house();
    let first = house.make(None);
    let second = Secret::draw_for(first.id()).unwrap();
    house.store.rotate_key(&second, NOW + 10).unwrap();
    let house = house.restarted();
    assert!(house.opens(second.text(), NOW).is_ok() && house.opens(first.text(), NOW + 9).is_ok());
    assert_eq!(house.opens(first.text(), NOW + 10), Err(Refused::Rotated));
    let third = Secret::draw_for(first.id()).unwrap();
    house.store.rotate_key(&third, NOW + 20).unwrap();
    assert_eq!(house.opens(first.text(), NOW), Err(Refused::Unknown), "two rotations back");
    assert!(house.opens(second.text(), NOW + 19).is_ok() && house.opens(third.text(), NOW + 99).is_ok());
    house.store.revoke_key(first.id(), NOW).unwrap();
    for secret in [&second, &third] {
        assert_eq!(house.opens(secret.text(), NOW), Err(Refused::Revoked));
    }
}

#[test]
fn the_last_use_is_written_once_a_minute() {
    let house = house();
    let secret = house.make(None);
    let key = Arc::clone(house.store.keys().key(secret.id()).unwrap());
    assert_eq!(key.used_us(), None);
    assert!(key.note_use(NOW) && !key.note_use(NOW + MINUTE - 1));
    house.store.note_key_use(&key, NOW);
    // another change of keys does not lose it
    house.make(None);
    assert!(!house.store.keys().key(secret.id()).unwrap().note_use(NOW + 1));
    let house = house.restarted();
    let ring = house.store.keys();
    let key = ring.key(secret.id()).unwrap();
    assert_eq!(key.used_us(), Some(NOW));
    assert!(key.note_use(NOW + MINUTE));
}

#[test]
fn the_file_has_no_secret() {
    let house = house();
    let first = house.make(None);
    let second = Secret::draw_for(first.id()).unwrap();
    house.store.rotate_key(&second, NOW + 10).unwrap();
    house.store.close();
    for file in std::fs::read_dir(house.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in [&first, &second] {
            // what follows the id is the secret part
            assert_eq!(memchr::memmem::find(&bytes, &secret.text().as_bytes()[14..]), None);
        }
    }
}

#[test]
fn a_damaged_key_lets_nobody_in_and_is_told_by_the_check() {
    let house = house();
    let (damaged, whole) = (house.make(None), house.make(None));
    house.store.close();
    let path = house.folder.path().join("a.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE key SET hash = x'00', \"grant\" = '{\"scopes\": [\"root\"]}' WHERE id = ?1";
    connection.execute(sql, [damaged.id()]).unwrap();
    drop(connection);
    let house = house.restarted();
    assert_eq!(house.opens(damaged.text(), NOW), Err(Refused::Unknown));
    assert!(house.opens(whole.text(), NOW).is_ok());
    house.store.close();
    let report = check(&path, &Progress::default()).unwrap();
    let told: Vec<String> = report.damage.iter().map(|damage| damage.what.clone()).collect();
    assert!(told.len() == 1 && told[0].contains(damaged.id()), "{told:?}");
}

#[test]
fn admin_has_every_scope_and_the_others_their_own() {
    let grant = |scope| Grant { scopes: vec![scope], ..Grant::default() };
    for (scope, name) in Scope::ALL {
        assert!(grant(Scope::Admin).has(scope) && grant(scope).has(scope));
        assert_eq!((Scope::of(name).unwrap(), scope.name()), (scope, name));
        assert_eq!(serde_json::to_value(scope).unwrap(), name);
    }
    assert!(!grant(Scope::Read).has(Scope::Ingest) && !grant(Scope::Ingest).has(Scope::Admin));
    assert!(Scope::of("reed").unwrap_err().to_string().contains("did you mean \"read\""));
}

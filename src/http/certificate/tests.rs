//! Certificates in files that are there, wrong, or replaced, with a clock that the tests set.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;

/// A folder with a pair in it.
struct Pair {
    folder: TempDir,
    chain: PathBuf,
    key: PathBuf,
}

fn made() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [chain, key] = ["fullchain.pem", "privkey.pem"].map(|name| folder.path().join(name));
        let pair = Self { folder, chain, key };
        pair.put(&made());
        pair
    }

    fn put(&self, made: &CertifiedKey<KeyPair>) {
        fs::write(&self.chain, made.cert.pem()).unwrap();
        fs::write(&self.key, made.signing_key.serialize_pem()).unwrap();
    }

    fn read(&self) -> Result<Certificate> {
        Certificate::read(&self.chain, &self.key)
    }

    fn refusal(&self) -> String {
        self.read().expect_err("refused").to_string()
    }
}

/// The moments at which the files are looked at again.
fn looks() -> impl Iterator<Item = Instant> {
    let begin = Instant::now();
    (1..).map(move |number| begin + Duration::from_secs(number * (limits::CERTIFICATE_LOOK_S + 1)))
}

#[test]
fn what_is_wrong_is_told_with_its_file_and_what_to_do() {
    let pair = Pair::new();
    let (chain, key) = (pair.chain.display().to_string(), pair.key.display().to_string());
    let (good_chain, good_key) = (fs::read(&pair.chain).unwrap(), fs::read(&pair.key).unwrap());
    pair.read().unwrap();

    fs::write(&pair.key, made().signing_key.serialize_pem()).unwrap();
    let refused = pair.refusal();
    assert!(refused.contains("does not belong") && refused.contains(&key), "{refused}");
    assert!(refused.contains(&chain) && refused.contains("made together"), "{refused}");

    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for text in ["", "nonsense", encrypted, &String::from_utf8(good_chain.clone()).unwrap()] {
        fs::write(&pair.key, text).unwrap();
        let refused = pair.refusal();
        assert!(refused.contains(&key) && refused.contains("no private key"), "{text}: {refused}");
        assert!(refused.contains("openssl pkey"), "{refused}");
    }
    fs::write(&pair.key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    assert!(pair.refusal().contains("cannot be used"), "{}", pair.refusal());
    fs::write(&pair.key, "-----BEGIN PRIVATE KEY-----\nAAAA\n").unwrap();
    assert!(pair.refusal().contains("no sound PEM"), "{}", pair.refusal());
    fs::remove_file(&pair.key).unwrap();
    let refused = pair.refusal();
    assert!(refused.contains(&key) && refused.contains("tls_key"), "{refused}");
    fs::write(&pair.key, &good_key).unwrap();

    for text in ["", "nonsense", &String::from_utf8(good_key).unwrap()] {
        fs::write(&pair.chain, text).unwrap();
        let refused = pair.refusal();
        assert!(refused.contains(&chain) && refused.contains("no certificate"), "{text}: {refused}");
    }
    fs::write(&pair.chain, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(pair.refusal().contains("cannot be used"), "{}", pair.refusal());
    fs::remove_file(&pair.chain).unwrap();
    assert!(pair.refusal().contains(&chain), "{}", pair.refusal());
    fs::create_dir(&pair.chain).unwrap();
    assert!(pair.refusal().contains("no file"), "{}", pair.refusal());
    fs::remove_dir(&pair.chain).unwrap();
    fs::write(&pair.chain, vec![b'x'; limits::CERTIFICATE_BYTES as usize + 1]).unwrap();
    assert!(pair.refusal().contains("larger than"), "{}", pair.refusal());
    fs::write(&pair.chain, good_chain).unwrap();
    pair.read().unwrap();
}

#[test]
fn a_key_in_the_file_of_its_certificate_is_found_there() {
    let pair = Pair::new();
    let both = [fs::read(&pair.key).unwrap(), fs::read(&pair.chain).unwrap()].concat();
    fs::write(&pair.chain, both).unwrap();
    Certificate::read(&pair.chain, &pair.chain).unwrap();
}

#[test]
fn a_new_pair_is_taken_at_the_next_look_and_not_before() {
    let pair = Pair::new();
    let mut certificate = pair.read().unwrap();
    let mut looks = looks();
    let (first, now) = (Arc::clone(&certificate.config), looks.next().unwrap());
    assert!(Arc::ptr_eq(&certificate.current(now), &first), "nothing has changed");
    pair.put(&made());
    assert!(Arc::ptr_eq(&certificate.current(now + Duration::from_millis(500)), &first), "not yet");
    let second = certificate.current(looks.next().unwrap());
    assert!(!Arc::ptr_eq(&second, &first));
    assert!(Arc::ptr_eq(&certificate.current(looks.next().unwrap()), &second), "it stays");
}

#[test]
fn two_files_that_change_one_after_the_other_are_taken_when_both_are_there() {
    let pair = Pair::new();
    let mut certificate = pair.read().unwrap();
    let first = Arc::clone(&certificate.config);
    let mut looks = looks();
    let next = made();
    fs::write(&pair.chain, next.cert.pem()).unwrap();
    for _ in 0..3 {
        assert!(Arc::ptr_eq(&certificate.current(looks.next().unwrap()), &first), "half of it is of no use");
    }
    fs::write(&pair.key, next.signing_key.serialize_pem()).unwrap();
    assert!(!Arc::ptr_eq(&certificate.current(looks.next().unwrap()), &first));
}

#[test]
fn files_of_no_use_leave_what_is_there_until_they_are_mended() {
    let pair = Pair::new();
    let mut certificate = pair.read().unwrap();
    let first = Arc::clone(&certificate.config);
    let mut looks = looks();
    let break_them: [&dyn Fn(); 3] =
        [&|| fs::write(&pair.chain, "nonsense").unwrap(), &|| fs::remove_file(&pair.key).unwrap(), &|| {
            fs::remove_file(&pair.chain).unwrap()
        }];
    for broken in break_them {
        broken();
        assert!(Arc::ptr_eq(&certificate.current(looks.next().unwrap()), &first));
    }
    pair.put(&made());
    assert!(!Arc::ptr_eq(&certificate.current(looks.next().unwrap()), &first));
}

#[test]
fn a_link_that_leads_elsewhere_is_a_change() {
    let pair = Pair::new();
    let live = pair.folder.path().join("live");
    let archive = |number: u32, made: &CertifiedKey<KeyPair>| {
        let folder = pair.folder.path().join(format!("archive{number}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("chain"), made.cert.pem()).unwrap();
        fs::write(folder.join("key"), made.signing_key.serialize_pem()).unwrap();
        folder
    };
    symlink(archive(1, &made()), &live).unwrap();
    let mut certificate = Certificate::read(&live.join("chain"), &live.join("key")).unwrap();
    let first = Arc::clone(&certificate.config);
    let next = pair.folder.path().join("next");
    symlink(archive(2, &made()), &next).unwrap();
    fs::rename(&next, &live).unwrap();
    assert!(!Arc::ptr_eq(&certificate.current(looks().next().unwrap()), &first));
}

#[test]
fn a_key_is_for_its_owner_and_for_who_could_read_it_anyway() {
    for (mode, group, others) in [
        (0o600, 1_000, false),
        (0o400, 0, false),
        (0o640, 1_000, true),
        (0o440, 0, false),
        (0o644, 0, true),
        (0o604, 0, true),
    ] {
        assert_eq!(is_for_others(mode, group), others, "{mode:o} {group}");
    }
    let pair = Pair::new();
    fs::set_permissions(&pair.key, Permissions::from_mode(0o644)).unwrap();
    pair.read().unwrap();
}

//! The page in a real browser: headless Chromium draws it, without a script, and not blank.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::Demo;
use super::common::temp_dir;

/// A browser that has not drawn the page by then never will.
const DEADLINE: Duration = Duration::from_secs(90);

/// The browser, where there is one.
fn chromium() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = names.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok());
    if found.is_none() {
        eprintln!("skipped: there is no chromium here");
    }
    found
}

/// Opens an address with a profile of its own, and waits for the browser to end.
fn open(browser: &str, folder: &Path, arguments: &[&str], address: &str) -> Output {
    let profile = folder.join("profile");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--no-proxy-server"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(folder.join("stdout")).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed() > DEADLINE => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the browser did not end within {DEADLINE:?}");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    Output { status, stdout: std::fs::read(folder.join("stdout")).unwrap(), stderr: Vec::new() }
}

#[test]
fn a_browser_draws_the_page() {
    let Some(browser) = chromium() else { return };
    let folder = temp_dir();
    let demo = Demo::start(folder.path());
    let address = format!("http://{}/?refresh=off", demo.address);
    let dom = open(browser, folder.path(), &["--dump-dom"], &address);
    let dom = String::from_utf8(dom.stdout).unwrap();
    assert!(dom.contains("<h1>pageviews</h1>") && dom.matches("<rect class=\"bar").count() >= 60, "{dom}");

    let picture = folder.path().join("page.png");
    let screenshot = format!("--screenshot={}", picture.display());
    assert!(
        open(browser, folder.path(), &[&screenshot, "--window-size=1200,1400"], &address).status.success()
    );
    let bytes = std::fs::read(&picture).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"));
    // a blank picture of this size has about 10 KB, one without style about half of the page's
    assert!(bytes.len() > 60_000, "the picture has {} bytes", bytes.len());
}

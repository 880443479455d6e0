//! Windrow within a program: open a file, add events, ask. Run it with `cargo run --example embed -- readings.db`.

use windrow::query::format;
use windrow::{Engine, Format, PageRequest, Result};

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "readings.db".to_owned());
    let engine = Engine::open(&path)?;

    // Acknowledged means on the disk, and seen by the next question. What cannot be read is told, one by one.
    let accepted = engine.ingest(
        "readings",
        r#"{"ts": "2026-03-01T08:00:00Z", "room": "cellar", "celsius": 11.5}
           {"ts": "2026-03-01T20:00:00Z", "room": "attic", "celsius": 17}
           {"ts": "2026-03-03T08:00:00Z", "room": "cellar", "celsius": 12.5}
           {"ts": "the day after", "room": "attic", "celsius": 16}"#,
    )?;
    println!("{} accepted, {} rejected", accepted.accepted, accepted.rejected_total);
    for item in &accepted.rejected {
        println!("  event {}: {}", item.index, item.message);
    }

    // The language is that of POST /v1/query. An answer has columns and rows; a format makes text of it.
    let by_day = engine.query(
        r#"{"from": "readings", "by": ["day(_time) as day"], "select": ["count()", "avg(celsius) as celsius"],
            "range": {"from": "2026-03-01", "to": "2026-03-04"}, "tz": "Europe/Berlin", "fill": true}"#,
    )?;
    print!("{}", String::from_utf8_lossy(&format::answer(&by_day, Format::Csv)?));

    let warmest = engine
        .sql("SELECT room, max(celsius) FROM readings WHERE celsius > ? GROUP BY room", &[12.into()])?;
    for row in &warmest.rows {
        println!("{}: {} degrees at most", row[0].to_text(), row[1].to_text());
    }

    // Rows come page by page, the newest first; a cursor goes on where a page ended, also after a restart.
    let mut request =
        PageRequest { dataset: "readings".to_owned(), limit: Some(2), ..PageRequest::default() };
    loop {
        let page = engine.rows(&request)?;
        println!("a page of {}", page.rows.len());
        match page.next {
            Some(next) => request.cursor = Some(next),
            None => break,
        }
    }
    engine.close();
    Ok(())
}

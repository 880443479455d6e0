//! The first page over a socket: what it draws is what the calls that it shows answer, to whoever pastes them.

use std::process::Command;

use regex::Regex;
use serde_json::Value;

use super::Demo;
use super::common::{Table, temp_dir};

/// The texts of the calls, as a browser would show them.
fn calls(page: &str) -> Vec<String> {
    let call = Regex::new("<pre>(curl [^<]*)</pre>").unwrap();
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    let plain =
        |html: &str| pairs.iter().fold(html.to_owned(), |text, (escape, is)| text.replace(escape, is));
    call.captures_iter(page).map(|found| plain(&found[1])).collect()
}

fn numbers(text: &str, pattern: &str) -> Vec<u64> {
    let found = Regex::new(pattern).unwrap();
    found.captures_iter(text).map(|found| found[1].replace(',', "").parse().unwrap()).collect()
}

#[test]
fn the_calls_that_are_shown_give_the_numbers_that_are_drawn() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl here, which the calls use");
        return;
    }
    let folder = temp_dir();
    let demo = Demo::start(folder.path());
    let page = demo.get("/").text();
    let pasted = |call: &String| -> Table {
        assert!(call.contains(&format!("http://{}/v1/query", demo.address)), "{call}");
        let ran = Command::new("sh").args(["-c", call]).env("no_proxy", "*").output().unwrap();
        Table::parse(&String::from_utf8(ran.stdout).unwrap())
    };
    let answers: Vec<Table> = calls(&page).iter().map(pasted).collect();
    assert_eq!(answers.len(), 5, "{page}");
    let column =
        |table: &Table, at: usize| table.rows.iter().map(|row| row[at].as_u64().unwrap()).collect::<Vec<_>>();

    let wide = page.split("class=\"chart wide\"").nth(1).unwrap().split("</svg>").next().unwrap();
    let drawn = numbers(wide, r#"<rect class="bar[^>]*><title>[^:]*: ([0-9,]+)"#);
    assert_eq!(drawn, column(&answers[0], 1));
    assert_eq!(drawn.len(), 30, "the data reach back over all days");
    let series = &answers[0].json["series"];
    assert_eq!(
        (&series["gaps"], &series["partial"]),
        (&Value::from(Vec::<u64>::new()), &Value::from(vec![29]))
    );
    assert_eq!(wide.matches("class=\"bar partial\"").count(), 1);

    let tiles = numbers(&page, r#"<dd class="number ">([0-9,]+)<"#);
    assert_eq!([tiles[1], drawn.iter().sum()], [column(&answers[1], 0)[0]; 2]);
    assert!(column(&answers[1], 1)[0] > 0, "there is a period before");
    let listed: Vec<u64> = answers[2..].iter().flat_map(|table| column(table, 1)).collect();
    assert_eq!(numbers(&page, r#"<td class="number">([0-9,]+)<"#), listed);
    assert_eq!(listed.len(), 24, "three full lists");
}

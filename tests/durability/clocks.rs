//! Times at the ends of what a time can be, and clocks that go back: places rise all the same, and nothing is lost on
//! the way through sealing, merging and a start.

use serde_json::json;

use crate::common::{Server, run, temp_dir};

const EDGES: [&str; 4] = [
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "1969-12-31T23:59:59.999999Z",
    "1970-01-01T00:00:00Z",
];

#[test]
fn the_first_and_the_last_instant_come_back_as_they_were() {
    let dir = temp_dir();
    let mut server = Server::start_with(dir.path(), &[], &[("WINDROW_SEAL_ROWS", "1000")]);
    for round in 0..4 {
        // each round is behind the one before it
        let lines: String = (0..1_500)
            .map(|n| {
                let time = match n {
                    0..4 => EDGES[n].to_owned(),
                    _ => format!("20{:02}-01-01T00:{:02}:{:02}Z", 40 - round * 10, n / 60, n % 60),
                };
                json!({"time": time, "n": n, "round": round}).to_string() + "\n"
            })
            .collect();
        server.accepted("events", lines);
        server.kill_nine();
        server = Server::start_with(dir.path(), &[], &[("WINDROW_SEAL_ROWS", "1000")]);
    }
    let check = |server: &Server| {
        let found = server.sql(
            "SELECT count(*), uniq(_seq), max(_seq), min(_time), max(_time), count(*) FILTER (WHERE _time < '0000-01-02'), \
             count(*) FILTER (WHERE _time > '9999-12-31') FROM events",
        );
        let wanted =
            [json!(6000), json!(6000), json!(6000), json!(EDGES[0]), json!(EDGES[1]), json!(4), json!(4)];
        assert_eq!(found.rows[0], wanted);
        let found = server.rows("events", "_seq,time,round");
        for (place, row) in found.iter().enumerate() {
            assert_eq!(
                (&row["_seq"], &row["round"]),
                (&json!(place + 1), &json!(place / 1_500)),
                "as they came"
            );
            if let Some(edge) = EDGES.get(place % 1_500) {
                assert_eq!(&row["time"], edge);
            }
        }
        assert_eq!(found.len(), 6_000);
    };
    check(&server);
    assert_eq!(server.stop(), 0);
    run(dir.path(), &["optimize"]).exits(0);
    check(&Server::start(dir.path(), &[]));
}

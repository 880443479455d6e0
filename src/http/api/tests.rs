//! The routes over a real store, called as the server calls them; one test goes over a real socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::Service;
use crate::http::edge::Edge;
use crate::http::guard::{Bounds, Entrance};
use crate::http::listener::Listener;
use crate::http::message::{Method, Request, Response};
use crate::http::routes;
use crate::proxies::Trusted;
use crate::query::budget::Limits;
use crate::query::warm::WarmList;
use crate::store::{Store, StoreOptions};

struct House {
    service: Arc<Service>,
    _folder: tempfile::TempDir,
}

fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 7878));
    House {
        service: Arc::new(Service::new(Arc::new(store), address, Limits::default(), WarmList::default())),
        _folder: folder,
    }
}

impl House {
    fn ask(&self, method: Method, target: &str, body: &str) -> Response {
        let request = Request { body: body.as_bytes().to_vec(), ..Request::new(method, target).unwrap() };
        routes::answer(&self.service, &request)
    }

    #[track_caller]
    fn json(&self, status: u16, method: Method, target: &str, body: &str) -> Value {
        let reply = self.ask(method, target, body);
        assert_eq!(reply.status, status, "{}", String::from_utf8_lossy(&reply.body));
        serde_json::from_slice(&reply.body).unwrap()
    }
}

const EVENTS: &str = "/v1/datasets/visits/events";

#[test]
fn events_are_told_what_became_of_them() {
    let house = house();
    let whole = house.json(200, Method::Post, EVENTS, r#"[{"n":1},{"n":2}]"#);
    assert_eq!(whole, json!({"accepted": 2, "duplicates": 0, "rejected": []}));
    let partial = house.json(200, Method::Post, EVENTS, "{\"n\":3}\nnonsense\n{\"n\":4}\n");
    assert_eq!((&partial["accepted"], &partial["rejected"][0]["index"]), (&json!(2), &json!(1)));
    assert_eq!(house.json(200, Method::Post, EVENTS, "[]")["accepted"], 0);
    assert_eq!(house.json(200, Method::Get, "/v1/datasets/visits", "")["rows"], 4);
}

#[test]
fn where_nothing_can_be_read_nothing_is_kept() {
    let house = house();
    for body in ["", " \r\n\t"] {
        let problem = house.json(400, Method::Post, EVENTS, body);
        assert!(problem["detail"].as_str().unwrap().contains("empty"), "{problem}");
    }
    let problem = house.json(400, Method::Post, EVENTS, "[1,2,3]");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3);
    assert_eq!(problem["errors"][2]["index"], 2);
    house.json(404, Method::Get, "/v1/datasets/visits", "");
    house.json(400, Method::Post, "/v1/datasets/No-Name/events", "{}");
}

#[test]
fn lost_line_ends_and_a_missing_declaration_are_told() {
    let house = house();
    let detail =
        |method, target, body| house.json(400, method, target, body)["detail"].as_str().unwrap().to_owned();
    let lost = detail(Method::Post, EVENTS, r#"{"n":1}{"n":2}"#);
    assert!(lost.contains("--data-binary"), "{lost}");
    for other in [r#"{"n":1"#, "{\"n\":1}{\n", "nonsense"] {
        let told = detail(Method::Post, EVENTS, other);
        assert!(!told.contains("--data-binary"), "{told}");
    }
    let none = detail(Method::Put, "/v1/datasets/visits", " ");
    assert!(none.contains("empty") && none.contains("\"fields\""), "{none}");
}

#[test]
fn a_path_that_is_like_none_is_sent_to_the_list() {
    for path in ["/x", "/favicon.ico"] {
        let problem = house().json(404, Method::Get, path, "");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("GET /v1/datasets") && !detail.contains("did you mean"), "{problem}");
    }
}

#[test]
fn more_rejections_than_are_listed_are_counted() {
    let house = house();
    let body = format!("{{\"n\":1}}\n{}", "x\n".repeat(crate::limits::REJECTIONS_LISTED + 5));
    let reply = house.json(200, Method::Post, EVENTS, &body);
    assert_eq!(reply["rejected"].as_array().unwrap().len(), crate::limits::REJECTIONS_LISTED);
    assert_eq!(reply["rejected_total"], crate::limits::REJECTIONS_LISTED + 5);
}

#[test]
fn a_dataset_is_declared_described_listed_and_dropped() {
    let house = house();
    let declaration = r#"{"fields":{"n":{"type":"int"},"later":{"type":"bool"}},"time":"seen"}"#;
    let declared = house.json(200, Method::Put, "/v1/datasets/visits", declaration);
    assert_eq!((&declared["rows"], &declared["time_range"]), (&json!(0), &Value::Null));
    house.json(
        200,
        Method::Post,
        EVENTS,
        r#"[{"n":1,"seen":"2024-03-01T12:00:00Z","x":1},{"n":2,"seen":"2024-03-02","x":"one"}]"#,
    );
    let described = house.json(200, Method::Get, "/v1/datasets/visits", "");
    let part = |key: &str| described[key].clone();
    assert_eq!(
        (part("name"), part("kind"), part("time_field")),
        (json!("visits"), json!("events"), json!("seen"))
    );
    let range = json!({"from": "2024-03-01T12:00:00Z", "to": "2024-03-02T00:00:00Z"});
    assert_eq!((part("rows"), part("segments"), part("time_range")), (json!(2), json!(0), range));
    assert!(part("bytes").as_u64().unwrap() > 0 && part("created").as_str().unwrap().ends_with('Z'));
    assert_eq!(part("declaration")["fields"]["n"]["type"], "int");
    let fields = json!([
        {"name": "n", "type": "int"},
        {"name": "seen", "type": "time"},
        {"name": "x", "type": "mixed", "types": ["int", "string"]},
        {"name": "later", "type": "bool"},
    ]);
    assert_eq!(part("fields"), fields);
    assert_eq!(house.json(200, Method::Get, "/v1/datasets", "")["datasets"][0], described);
    assert_eq!(house.ask(Method::Delete, "/v1/datasets/visits", "").status, 204);
    house.json(404, Method::Delete, "/v1/datasets/visits", "");
    house.json(400, Method::Put, "/v1/datasets/visits", "{\"feilds\":{}}");
    house.json(400, Method::Put, "/v1/datasets/_own", "{}");
}

#[test]
fn parameters_that_a_route_does_not_take_are_refused() {
    let house = house();
    let problem = house.json(400, Method::Get, "/v1/datasets/visits/rows?limti=1", "");
    assert!(problem["detail"].as_str().unwrap().contains("\"limit\""), "{problem}");
    house.json(400, Method::Get, "/v1/datasets?x=1", "");
    house.json(400, Method::Get, "/v1/datasets/%ZZ/rows", "");
    house.json(404, Method::Get, "/v1/datasets/unseen", "");
}

#[test]
fn readiness_ends_with_the_stop() {
    let house = house();
    assert_eq!(house.json(200, Method::Get, "/healthz", ""), json!({"status": "ok"}));
    house.json(200, Method::Head, "/readyz", "");
    house.service.set_stopping();
    let reply = house.ask(Method::Get, "/readyz", "");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
    house.json(200, Method::Get, "/healthz", "");
}

#[test]
fn events_go_in_over_a_socket_and_are_there() {
    let house = house();
    let service = Arc::clone(&house.service);
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.address().unwrap();
    let bounds = Bounds { connections: 100, connections_per_address: 100, backends: 4 };
    let entrance = Entrance { listeners: vec![listener], bounds, trusted: Trusted::default() };
    let server = Edge::start(entrance, move |request| routes::answer(&service, request)).unwrap();
    let send = |message: String| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(message.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
        reply
    };
    let head = "Host: localhost\r\nConnection: close";
    let body = "{\"n\":1}\n{\"n\":2}\n";
    let length = body.len();
    let reply = send(format!("POST {EVENTS} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"));
    assert!(reply.ends_with("{\"accepted\":2,\"duplicates\":0,\"rejected\":[]}\n"), "{reply}");
    let reply = send(format!("GET /v1/datasets/visits HTTP/1.1\r\n{head}\r\n\r\n"));
    assert!(reply.contains("\"rows\":2"), "{reply}");
    assert!(server.stop(Duration::from_secs(5), || {}, Duration::ZERO));
    assert_eq!(house.json(200, Method::Get, "/v1/datasets/visits", "")["rows"], 2);
}

//! What is told to somebody who is bound to some rows, against a store that holds these alone: whatever the condition.

use std::cell::Cell;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::tail::Tail;
use crate::error::Result;
use crate::http::message::{Method, Request};
use crate::http::{Service, routes};
use crate::query::budget::Limits;
use crate::query::reach::Reach;
use crate::query::warm::WarmList;
use crate::store::{Store, StoreOptions};

const MARKER: &str = "of the other";

/// A store with events of two tenants, or of one of them alone.
fn store(folder: &tempfile::TempDir, name: &str, has_others: bool) -> Arc<Store> {
    let store = Arc::new(Store::open(&folder.path().join(name), StoreOptions::default()).unwrap());
    let address = ([127, 0, 0, 1], 7878).into();
    let service = Service::new(store, address, Limits::default(), WarmList::default());
    for batch in 0..3 {
        let rows: String = (0..40)
            .map(|n| batch * 40 + n)
            .filter_map(|n: i32| {
                let is_own = n % 3 == 0;
                let text = if is_own { "own" } else { MARKER };
                // an own row that divides by zero, and others that do
                let row = format!(
                    "{{\"tenant\":\"{}\",\"n\":{n},\"zero\":{},\"text\":\"{text} {n}\"}}\n",
                    if is_own { "a" } else { "b" },
                    n % 4
                );
                (is_own || has_others).then_some(row)
            })
            .collect();
        let mut request = Request::new(Method::Post, "/v1/datasets/d/events").unwrap();
        request.body = rows.into_bytes();
        assert_eq!(routes::answer(&service, &request).status, 200);
    }
    service.store
}

fn told(store: &Store, filter: &str, reach: Reach) -> Result<Vec<String>> {
    let limits = Limits { reach: Arc::new(reach), ..Limits::default() };
    let fields = Some(vec!["tenant".to_owned(), "n".to_owned(), "text".to_owned()]);
    let tail = Tail { dataset: "d".into(), filter: Some(filter.to_owned()), fields, limits };
    let snapshot = store.snapshot();
    let last = tail.dataset(&snapshot)?.next_seq - 1;
    let Some(message) = tail.news(store, &snapshot, 0, last)? else { return Ok(Vec::new()) };
    let message: Value = serde_json::from_str(message.text()).unwrap();
    assert_eq!(message.get("skipped"), None);
    Ok(message["rows"].as_array().unwrap().iter().map(Value::to_string).collect())
}

/// Conditions that try to get around one that they are bound to.
fn condition() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("n"),
        Just("zero"),
        Just("n / zero"),
        Just("n // zero"),
        Just("length(text)"),
        Just("7")
    ];
    let comparison = (number.clone(), prop_oneof![Just("="), Just("<>"), Just("<"), Just(">=")], number)
        .prop_map(|(a, op, b)| format!("{a} {op} {b}"));
    let leaf = prop_oneof![
        comparison,
        Just("tenant = 'b'".to_owned()),
        Just("tenant IS DISTINCT FROM 'a'".to_owned()),
        Just("text LIKE '%other%'".to_owned()),
        Just("1 = 1".to_owned()),
        Just("tenant IN ('a', 'b')".to_owned()),
        Just("CASE WHEN tenant = 'b' THEN 1 / 0 > 1 ELSE n > 5 END".to_owned()),
        Just("n // (CASE tenant WHEN 'b' THEN 0 ELSE 1 END) > 3".to_owned()),
        Just("nothing = 1".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) OR ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) AND ({b})")),
            inner.clone().prop_map(|a| format!("NOT ({a})")),
            inner.clone().prop_map(|a| format!("{a} -- ) OR (1 = 1")),
            inner.clone().prop_map(|a| format!("{a} /* ) */ OR /* ( */ tenant = 'b'")),
            inner.prop_map(|a| format!("coalesce({a}, true)")),
        ]
    })
}

#[test]
fn whatever_the_condition_only_rows_within_reach_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (both, own) = (store(&folder, "both.db", true), store(&folder, "own.db", false));
    let (answered, of_others) = (Cell::new(0), Cell::new(0));
    let mut runner = proptest::test_runner::TestRunner::default();
    let tried = runner.run(&condition(), |filter| {
        let bound = told(&both, &filter, Reach::new(&[], Some("tenant = 'a'")).unwrap());
        let alone = told(&own, &filter, Reach::everything());
        match (&bound, &alone) {
            (Ok(bound), Ok(alone)) => prop_assert_eq!(bound, alone),
            (Err(_), Err(_)) => {}
            _ => prop_assert!(false, "{:?} against {:?}", bound, alone),
        }
        let shown = format!("{bound:?}");
        prop_assert!(!shown.contains(MARKER) && !shown.contains("\"b\""), "{}", shown);
        let is_answered = bound.is_ok_and(|rows| !rows.is_empty());
        answered.set(answered.get() + usize::from(is_answered));
        let all = told(&both, &filter, Reach::everything());
        of_others.set(of_others.get() + usize::from(format!("{all:?}").contains(MARKER)));
        Ok(())
    });
    tried.unwrap();
    // without the bound it would have been otherwise
    let (answered, of_others) = (answered.get(), of_others.get());
    assert!(answered > 60 && of_others > 60, "{answered} answered, {of_others} with rows of others");
}

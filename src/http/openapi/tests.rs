//! The document and the route table, held together in both directions.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::http::problem;

fn names(text: &str) -> BTreeSet<String> {
    read(text).unwrap().as_object().unwrap().keys().cloned().collect()
}

/// Everything that `$ref`s of a part of the document name.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_route_is_described_once_and_nothing_else_is() {
    let described = names(OPERATIONS);
    let routes: BTreeSet<String> =
        ROUTES.iter().map(|route| format!("{} {}", route.method.name(), route.pattern)).collect();
    assert_eq!(described, routes);
    // a key that is there twice would be lost in reading
    for name in &routes {
        assert_eq!(OPERATIONS.matches(&format!("\"{name}\":")).count(), 1, "{name}");
    }
    let document = document().unwrap();
    let methods = document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len());
    assert_eq!(methods.sum::<usize>(), ROUTES.len());
    let operations = read(OPERATIONS).unwrap();
    let ids: Vec<&Value> = operations.as_object().unwrap().values().map(|told| &told["id"]).collect();
    for (place, id) in ids.iter().enumerate() {
        assert!(
            id.is_string() && !ids[..place].contains(id),
            "the operationId {id} is missing or there twice"
        );
    }
}

#[test]
fn every_parameter_is_described_and_no_other() {
    let (operations, parameters) = (read(OPERATIONS).unwrap(), read(PARAMETERS).unwrap());
    for route in &ROUTES {
        let name = format!("{} {}", route.method.name(), route.pattern);
        let told: Vec<&Value> = texts(&operations[&name], "parameters")
            .map(|key| parameters.get(key).unwrap_or_else(|| panic!("{name}: {key} is nowhere described")))
            .collect();
        let of = |place: &str| -> Vec<&str> {
            let mut names: Vec<&str> =
                told.iter().filter(|p| p["in"] == place).map(|p| p["name"].as_str().unwrap()).collect();
            names.sort_unstable();
            names
        };
        let mut taken = route.parameters.to_vec();
        taken.sort_unstable();
        assert_eq!(of("query"), taken, "{name}");
        let mut places: Vec<&str> =
            route.pattern.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        places.sort_unstable();
        assert_eq!(of("path"), places, "{name}");
        assert!(of("header").is_empty(), "{name}: headers come of what the route is");
    }
    for (key, parameter) in parameters.as_object().unwrap() {
        assert!(parameter["description"].as_str().is_some_and(|text| text.ends_with('.')), "{key}");
        assert!(parameter["schema"].is_object(), "{key} has no type");
        let is_required = parameter["in"] == "path";
        assert!(!is_required || parameter["required"] == true, "{key} is a part of the path");
    }
}

#[test]
fn what_is_referred_to_is_there_and_what_is_there_is_referred_to() {
    let document = document().unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for kind in ["schemas", "parameters", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/{kind}/{name}")), "{kind}/{name} is used nowhere");
        }
    }
    assert!(!document.to_string().contains("\"$PA"), "a number of limits was not put in");
}

#[test]
fn every_sort_of_problem_is_in_the_response_of_its_status() {
    let responses = problems();
    for (status, name, _) in problem::ALL {
        let schema =
            &responses[format!("Problem{status}")]["content"][problem::CONTENT_TYPE]["schema"]["allOf"][1];
        let kinds = schema["properties"]["type"]["enum"].as_array().unwrap();
        assert!(kinds.contains(&problem::kind(name).into()), "{status} {name}");
    }
}

#[test]
fn routes_with_a_body_have_examples_of_it() {
    for (name, told) in read(OPERATIONS).unwrap().as_object().unwrap() {
        let has_body = told.get("body").is_some();
        assert_eq!(has_body, told["examples"].as_object().is_some_and(|all| !all.is_empty()), "{name}");
        let tag = told["tag"].as_str().unwrap();
        assert!(TAGS.iter().any(|(known, _)| *known == tag), "{name}: {tag}");
    }
}

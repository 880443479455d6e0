//! The canonical form of generated expressions reads back as the same expression; whole queries print as the examples
//! say.

use std::sync::Arc;

use proptest::prelude::*;

use crate::fields::{FieldSet, FieldType, Kinds};
use crate::query::expression::{BinaryOp, Expr};
use crate::query::functions::Function;
use crate::query::language::Dialect;
use crate::query::parse::{self, expression};
use crate::store::snapshot::Dataset;
use crate::value::Value;

fn literals() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::Float),
        (crate::time::MIN..crate::time::MAX).prop_map(Value::Time),
        "\\PC{0,6}".prop_map(Value::text),
        Just(Value::List(["a'b".into(), "".into()].into())),
        Just(Value::Json("{\"a\":[1]}".into())),
    ]
}

fn operators() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::*;
    prop::sample::select(vec![
        Eq,
        NotEq,
        Lt,
        LtEq,
        Gt,
        GtEq,
        And,
        Or,
        Add,
        Subtract,
        Multiply,
        Divide,
        IntegerDivide,
        Modulo,
        Concat,
        Regexp,
        Distinct,
    ])
}

fn calls(inner: BoxedStrategy<Expr>) -> impl Strategy<Value = Expr> {
    let table: Vec<&str> = crate::query::functions::FUNCTIONS.iter().map(|f| f.name).collect();
    (prop::sample::select(table), prop::collection::vec(inner, 3..4)).prop_map(|(name, mut arguments)| {
        let function = Function::find(name).unwrap();
        while function.check_arguments(arguments.len()).is_err() {
            arguments.pop();
        }
        if matches!(name, "date_trunc" | "extract") {
            arguments[0] = Expr::Column("unit".into());
        }
        Expr::Call(function, arguments)
    })
}

fn expressions() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        literals().prop_map(Expr::Literal),
        "[a-z_]{1,4}|\\PC{0,5}|group|select|not|e\"f".prop_map(Expr::Column),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(Expr::Not),
            boxed().prop_map(Expr::Negate),
            boxed().prop_map(Expr::IsNull),
            (operators(), boxed(), boxed()).prop_map(|(op, a, b)| Expr::Binary(op, a, b)),
            (boxed(), prop::collection::vec(inner.clone(), 0..3)).prop_map(|(a, list)| Expr::In(a, list)),
            (boxed(), boxed(), proptest::option::of(any::<char>()), any::<bool>()).prop_map(
                |(operand, pattern, escape, insensitive)| Expr::Like {
                    operand,
                    pattern,
                    escape,
                    insensitive
                }
            ),
            (prop::collection::vec((inner.clone(), inner.clone()), 1..3), proptest::option::of(boxed()))
                .prop_map(|(branches, otherwise)| Expr::Case { branches, otherwise }),
            (boxed(), prop::sample::select(vec![FieldType::Int, FieldType::String, FieldType::Time]))
                .prop_map(|(a, to)| Expr::Cast(a, to)),
            calls(inner.clone().boxed()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Chains of AND and OR come back balanced, so the tree is compared as it is read, not as it was made.
    #[test]
    fn what_is_printed_reads_back(made in expressions()) {
        let printed = made.to_string();
        let read = expression(&printed).map_err(|e| TestCaseError::fail(format!("{printed}: {e}")))?;
        prop_assert_eq!(read.to_string(), printed);
        let context = crate::query::functions::Context::new(jiff::tz::TimeZone::UTC);
        let row = |name: &str| Value::Int(name.len() as i64);
        let values = [&made, &read].map(|e| crate::query::scalar::evaluate(e, &row, &context));
        match values {
            [Ok(a), Ok(b)] => prop_assert_eq!(a, b),
            [Err(a), Err(b)] => prop_assert_eq!(a.to_string(), b.to_string()),
            [a, b] => prop_assert!(false, "{:?} and {:?}", a, b),
        }
    }
}

#[test]
fn a_pattern_that_begins_with_null_reads_back() {
    let null = || Box::new(Expr::Literal(Value::Null));
    let field = Box::new(Expr::Column("a".into()));
    for op in [BinaryOp::Add, BinaryOp::Subtract, BinaryOp::Eq, BinaryOp::Concat] {
        let pattern = Expr::Binary(op, null(), Box::new(Expr::Literal(Value::Int(5))));
        let made = Expr::Binary(BinaryOp::Regexp, field.clone(), Box::new(pattern));
        assert_eq!(expression(&made.to_string()).expect("reads"), made, "{made}");
    }
}

#[test]
fn every_word_is_quoted_where_it_must_be() {
    let mut missing = Vec::new();
    for word in sqlparser::keywords::ALL_KEYWORDS {
        let name = word.to_lowercase();
        let field = Expr::Column(name.clone());
        for shape in [
            "{}",
            "({})",
            "{} = 1",
            "a + {}",
            "{} IS NULL",
            "lower({})",
            "CASE WHEN {} THEN {} ELSE {} END",
            "{} IN ({}, {})",
            "NOT {}",
            "-{}",
            "{} LIKE {}",
            "{} AND {}",
            "{} OR NOT {}",
            "CAST({} AS int)",
            "sum({}) FILTER (WHERE {})",
            "{} || 'x'",
            "coalesce({}, {})",
        ] {
            let text = shape.replace("{}", &field.to_string());
            let read = expression(&text);
            let mut found = Vec::new();
            if let Ok(read) = &read {
                read.walk(&mut |e| {
                    if let Expr::Column(c) = e {
                        found.push(c.clone())
                    }
                });
            }
            if read.is_err() || found.iter().filter(|c| **c == name).count() != shape.matches("{}").count() {
                missing.push(name);
                break;
            }
        }
    }
    let list: Vec<String> = missing.iter().map(|word| format!("\"{word}\"")).collect();
    assert!(missing.is_empty(), "RESERVED lacks {}", list.join(", "));
}

const EXAMPLES: &str = include_str!("examples.txt");

/// A dataset that has fields of every type, and no rows.
fn dataset() -> Dataset {
    use FieldType::{Bool, Float, Int, Json, String, Strings, Time};
    let mut fields = FieldSet::default();
    let both = Kinds::of(Int).with(Kinds::of(String));
    let of = |kind| Kinds::of(kind);
    for (name, kinds) in [
        ("country", of(String)),
        ("path", of(String)),
        ("user", of(Int)),
        ("ms", of(Int)),
        ("value", of(Float)),
        ("bot", of(Bool)),
        ("tags", of(Strings)),
        ("doc", of(Json)),
        ("mixed", both),
        ("ts", of(Time)),
    ] {
        fields.add(&name.into(), kinds);
    }
    Dataset { fields: Arc::new(fields), ..Dataset::new("events".into()) }
}

fn printed(text: &str, dialect: Dialect) -> String {
    let query = match text.starts_with('{') {
        true => parse::json(text.as_bytes(), 0),
        false => parse::sql(text, &[]),
    };
    match super::query(&query.expect(text), &dataset(), dialect) {
        Ok(sql) => sql,
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn queries_print_as_the_examples_say() {
    let told = |block: &str| {
        let question = block.split("\n  -- ").next().unwrap_or_default().trim();
        let forms = Dialect::ALL.iter().map(|(dialect, name)| {
            format!("\n  -- {name}\n  {}", printed(question, *dialect).replace('\n', "\n  "))
        });
        format!("{question}{}", forms.collect::<String>())
    };
    let blocks: Vec<&str> = EXAMPLES.trim_end().split("\n\n").collect();
    let (head, questions) = blocks.split_first().expect("a head");
    let found: Vec<String> = questions.iter().map(|block| told(block)).collect();
    if std::env::var("WINDROW_EXAMPLES").is_ok_and(|what| what == "write") {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/query/print/examples.txt");
        std::fs::write(file, format!("{head}\n\n{}\n", found.join("\n\n"))).expect("written");
    }
    assert!(found.len() > 30, "only {} examples were found", found.len());
    for (found, wanted) in found.iter().zip(questions) {
        assert_eq!(found, wanted);
    }
}

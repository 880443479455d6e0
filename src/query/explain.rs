//! EXPLAIN: how a question would be answered, a line a step, without answering it; or the same question as SQL of a
//! dialect. `query::answer` calls it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::query::answer::{Answer, AnswerColumn, Stats};
use crate::query::budget::{Budget, Limits};
use crate::query::expression::{AggregateCall, Expr};
use crate::query::filter::Filter;
use crate::query::keyed;
use crate::query::language::{Dialect, Explain, Order, Query, Question, Range};
use crate::query::plan::{self, Plan, Shape, add_columns};
use crate::query::relational::{self, Bound, tree::Relational};
use crate::query::sequences::sessions;
use crate::query::{print, relational::Reference};
use crate::store::part::{Part, Source};
use crate::store::snapshot::{Dataset, Snapshot};
use crate::time::Calendar;
use crate::value::Value;

/// What EXPLAIN tells of a question.
///
/// # Errors
/// As the question itself, but for what only its rows bring about.
pub fn explain(snapshot: &Snapshot, question: &Question, explain: Explain) -> Result<Answer> {
    let begin = Instant::now();
    // it counts rows, blocks and segments, and tells which of them zones rule out
    question.limits().reach.check_unfiltered("EXPLAIN")?;
    let (names, rows, engine, calendar): (&[&str], Vec<Vec<String>>, _, &Calendar) = match (explain, question)
    {
        (Explain::Plan, Question::Plain(query)) if of_records(snapshot, query).is_some() => {
            (&["step", "detail"], of_table(snapshot, query)?, "sqlite", &query.calendar)
        }
        (Explain::Plan, Question::Plain(query)) => {
            (&["step", "detail"], of_query(snapshot, query)?, "vector", &query.calendar)
        }
        (Explain::Plan, Question::Relational(question)) => {
            (&["step", "detail"], of_relational(snapshot, question)?, "sqlite", &question.calendar)
        }
        (Explain::Printed(dialect), Question::Plain(query)) => {
            let text = print::query(query, &*query.limits.reach.dataset(snapshot, &query.from)?, dialect)?;
            let engine = if of_records(snapshot, query).is_some() { "sqlite" } else { "vector" };
            (&["sql"], lines(&text), engine, &query.calendar)
        }
        (Explain::Printed(Dialect::Sqlite), Question::Relational(question)) => {
            let bound = relational::bind(snapshot, question, &Budget::new(&question.limits))?;
            let tables = bound.references.iter().enumerate().map(|(number, reference)| {
                let columns = reference.columns.iter().enumerate();
                let columns: Vec<String> = columns.map(|(at, name)| format!("c{at} {name}")).collect();
                format!("-- t{number} is {}: {}", reference.shown, columns.join(", "))
            });
            let text = tables.chain([bound.sql.clone()]).collect::<Vec<_>>().join("\n");
            (&["sql"], lines(&text), "sqlite", &question.calendar)
        }
        (Explain::Printed(_), Question::Relational(_)) => {
            return Err(Error::invalid(
                "a question about several tables is written in its dialect already, and printed for sqlite only: EXPLAIN \
                 (FORMAT sqlite)",
            ));
        }
    };
    let column = |name: &&str| AnswerColumn { name: (*name).to_owned(), kind: "string" };
    let elapsed_ms = begin.elapsed().as_secs_f64() * 1e3;
    Ok(Answer {
        columns: names.iter().map(column).collect(),
        rows: rows.into_iter().map(|row| row.into_iter().map(Value::text).collect()).collect(),
        next: None,
        stats: Stats { elapsed_ms, cache: "miss", engine, ..Stats::default() },
        tz: calendar.tz.clone(),
        series: None,
        range: Range::default(),
        previous: None,
    })
}

fn lines(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| vec![line.to_owned()]).collect()
}

/// The dataset of a question that SQLite answers over a table of records.
fn of_records(snapshot: &Snapshot, query: &Query) -> Option<Arc<Dataset>> {
    let dataset = query.limits.reach.dataset(snapshot, &query.from).ok()?;
    (dataset.keyed.is_some() && keyed::is_one_select(query)).then_some(dataset)
}

/// The steps of SQLite over a table of records.
fn of_table(snapshot: &Snapshot, query: &Query) -> Result<Vec<Vec<String>>> {
    let dataset = &*query.limits.reach.dataset(snapshot, &query.from)?;
    let sql = print::query(query, dataset, Dialect::Sqlite)?;
    let budget = Budget::new(&query.limits);
    let reader = keyed::reader::open(dataset.keyed()?, &query.calendar, &budget)?;
    let own = crate::store::keyed::table(dataset.id);
    let mut steps = vec![
        step("engine", "sqlite: row by row, over the table of the records and its indexes"),
        step("dataset", format!("{}: {}", dataset.name, counted(dataset.rows(), "record"))),
    ];
    for (depth, line) in reader.plan(&sql)? {
        let line = line.replace(&own, &dataset.name);
        steps.push(step("plan", format!("{}{line}", "  ".repeat(depth))));
    }
    Ok(steps)
}

/// The steps of the vector engine.
fn of_query(snapshot: &Snapshot, query: &Query) -> Result<Vec<Vec<String>>> {
    let source = &query.limits.reach.dataset(snapshot, &query.from)?;
    let budget = Budget::new(&query.limits);
    let mut steps = vec![step("engine", "vector: whole columns at a time, on all cores")];
    let built = query.sessions.as_ref().map(|sessions| sessions::build(sessions, query, source, &budget));
    let built = built.transpose()?;
    if built.is_some() {
        steps.push(step("sessions", format!("made first, of the events of {}", query.from)));
    }
    let dataset = built.as_ref().map_or(&**source, |built| &built.dataset);
    let plan = plan::plan(query, dataset)?;
    steps.push(step("dataset", format!("{}: {}", dataset.name, described(dataset))));
    if let Some(filter) = &plan.filter {
        steps.push(step("filter", filter.to_string()));
    }
    steps.extend(scanned(plan.filter.as_ref(), dataset)?);
    steps.push(step("columns", joined(&columns(&plan))));
    steps.extend(of_shape(&plan));
    if query.fill {
        steps.push(step("fill", "a group for every bucket of the range"));
    }
    if query.compare {
        steps.push(step("compare", "the same question again for the period before the range"));
    }
    if plan.distinct {
        steps.push(step("distinct", "equal rows once"));
    }
    match (plan.limit, plan.offset) {
        (None, 0) => {}
        (limit, offset) => {
            let limit = limit.map_or_else(|| "all rows".into(), |limit| counted(limit, "row"));
            let after = if offset == 0 { String::new() } else { format!(", after {offset}") };
            steps.push(step("limit", format!("{limit}{after}")));
        }
    }
    steps.push(of_cache(&query.limits, true));
    Ok(steps)
}

/// What of the answer is kept.
fn of_cache(limits: &Limits, has_pieces: bool) -> Vec<String> {
    let kept = match (&limits.cache, has_pieces) {
        (None, _) => "answers are not stored",
        (Some(_), true) => "the answer and what sealed segments come to are kept",
        (Some(_), false) => "the answer is kept",
    };
    step("cache", format!("decoded columns stay in memory; {kept}"))
}

fn step(name: &str, detail: impl Into<String>) -> Vec<String> {
    vec![name.to_owned(), detail.into()]
}

fn described(dataset: &Dataset) -> String {
    let tail: usize = dataset.tail.iter().map(|block| block.block.rows()).sum();
    format!(
        "{} in {}, {tail} in the tail",
        counted(dataset.rows(), "row"),
        counted(dataset.segments.len(), "segment")
    )
}

fn counted(count: impl std::fmt::Display, what: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// How many segments and blocks are read, and how many their zones rule out.
fn scanned(filter: Option<&Expr>, dataset: &Dataset) -> Result<Vec<Vec<String>>> {
    let blocks: usize = dataset.sources().map(|source| source.runs().len()).sum();
    let segments = dataset.sources().filter(|source| matches!(source, Source::Segment(_))).count();
    let parts = Filter::new(filter).parts(dataset)?;
    let read: BTreeSet<i64> =
        parts.iter().filter_map(|part| part.stored().segment().map(|segment| segment.id)).collect();
    let rows: usize = parts.iter().map(Part::rows).sum();
    Ok(vec![
        step("segments", format!("{} of {segments} read, {} ruled out", read.len(), segments - read.len())),
        step(
            "blocks",
            format!(
                "{} of {blocks} read, {} ruled out: {}",
                parts.len(),
                blocks - parts.len(),
                counted(rows, "row")
            ),
        ),
    ])
}

fn columns(plan: &Plan) -> Vec<String> {
    let mut names: Vec<Arc<str>> = Vec::new();
    plan.filter.iter().for_each(|filter| add_columns(filter, &mut names));
    match &plan.shape {
        Shape::Rows { select, order } => {
            let order = order.iter().map(|order| &order.expression);
            select.iter().chain(order).for_each(|e| add_columns(e, &mut names));
        }
        Shape::Groups { keys, aggregates, .. } => {
            keys.iter().for_each(|key| add_columns(key, &mut names));
            for call in aggregates {
                call.argument.iter().chain(&call.filter).for_each(|e| add_columns(e, &mut names));
            }
        }
    }
    names.iter().map(|name| name.to_string()).collect()
}

/// What is made of the rows that count.
fn of_shape(plan: &Plan) -> Vec<Vec<String>> {
    let ordered = |order: &[Order], shown: &dyn Fn(&Expr) -> String| {
        let one = |o: &Order| format!("{}{}", shown(&o.expression), if o.descending { " DESC" } else { "" });
        (!order.is_empty()).then(|| step("order", joined(&order.iter().map(one).collect::<Vec<_>>())))
    };
    match &plan.shape {
        Shape::Rows { select, order } => {
            let mut steps =
                vec![step("rows", joined(&select.iter().map(Expr::to_string).collect::<Vec<_>>()))];
            steps.extend(ordered(order, &Expr::to_string));
            steps
        }
        Shape::Groups { keys, aggregates, having, order, .. } => {
            let calls = aggregates.iter().map(|call| Expr::Aggregate(Box::new(AggregateCall::clone(call))));
            let made: Vec<Expr> = keys.iter().cloned().chain(calls).collect();
            let names: Vec<String> = made.iter().map(Expr::to_string).collect();
            let (keys, calls) = names.split_at(keys.len());
            let keys = if keys.is_empty() { "one group of all rows".to_owned() } else { joined(keys) };
            let mut steps = vec![step("groups", keys), step("aggregates", joined(calls))];
            let shown = |e: &Expr| written_out(e, &made).to_string();
            steps.extend(having.iter().map(|having| step("having", shown(having))));
            steps.extend(ordered(order, &shown));
            steps
        }
    }
}

/// An expression over a group, with what its places stand for.
fn written_out(e: &Expr, made: &[Expr]) -> Expr {
    let written = e.clone().rewrite::<std::convert::Infallible>(&mut |part| {
        Ok(match &part {
            Expr::Column(place) => {
                place.parse::<usize>().ok().and_then(|at| made.get(at)).cloned().unwrap_or(part)
            }
            _ => part,
        })
    });
    match written {
        Ok(written) => written,
        Err(never) => match never {},
    }
}

fn joined(parts: &[String]) -> String {
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}

/// The steps of SQLite.
fn of_relational(snapshot: &Snapshot, question: &Relational) -> Result<Vec<Vec<String>>> {
    let budget = Budget::new(&question.limits);
    let bound = relational::bind(snapshot, question, &budget)?;
    let mut steps = vec![step("engine", "sqlite: row by row, over virtual tables of the same data")];
    for reference in &bound.references {
        if reference.is_made {
            steps.push(step("table", reference.shown.clone()));
            continue;
        }
        let columns: Vec<String> = reference.columns.iter().map(|name| name.to_string()).collect();
        steps.push(step("table", format!("{}: {}", reference.shown, described(&reference.dataset))));
        steps.push(step("columns", joined(&columns)));
    }
    let sandbox = relational::connect(&bound, question, &budget)?;
    for (depth, line) in sandbox.plan(&bound.sql)? {
        steps.push(step("plan", format!("{}{}", "  ".repeat(depth), readable(&line, &bound))));
    }
    steps.push(of_cache(&question.limits, false));
    Ok(steps)
}

/// A line of SQLite's plan with the names of the question in place of those of the statement.
fn readable(line: &str, bound: &Bound) -> String {
    let (before, index) = line.split_once(" VIRTUAL TABLE INDEX ").unwrap_or((line, ""));
    let mut of = None;
    let words = before.split(' ').map(|word| match bound.references.iter().find(|r| r.alias == word) {
        Some(reference) => {
            of = Some(reference);
            reference.shown.as_str()
        }
        None => word,
    });
    let mut text = words.collect::<Vec<_>>().join(" ");
    if let (Some(reference), Some((_, index))) = (of, index.split_once(':')) {
        let (pushed, rest) =
            index.split_once(" LEFT-JOIN").map_or((index, ""), |(pushed, _)| (pushed, " (left join)"));
        let conditions: Vec<String> =
            pushed.split(' ').filter_map(|one| pushed_down(one, reference)).collect();
        text += rest;
        match conditions.is_empty() {
            true => text += ", all rows",
            false => text += &format!(", only where {}", conditions.join(" and ")),
        }
    }
    text
}

/// `3>=` is a condition on the fourth column.
fn pushed_down(one: &str, reference: &Reference) -> Option<String> {
    let digits = one.find(|c: char| !c.is_ascii_digit())?;
    let (place, operator) = one.split_at(digits);
    let name = reference.columns.get(place.parse::<usize>().ok()?)?;
    Some(match operator {
        "isnull" => format!("{name} is null"),
        "notnull" => format!("{name} is not null"),
        "in" => format!("{name} in (..)"),
        operator => format!("{name} {operator} .."),
    })
}

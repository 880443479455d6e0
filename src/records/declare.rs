//! Declares a dataset, of events or of records: what a declaration says about records is read in the language and compared
//! with the other datasets before the writer carries it out.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result, nearest_or_first};
use crate::fields::records::{Index, VERSION};
use crate::fields::{Declaration, FieldSet, FieldType, Kinds};
use crate::query::budget::Budget;
use crate::query::keyed::{page, reader};
use crate::query::print::sqlite::{Printed, quoted, stored_expression};
use crate::query::{parse, plan};
use crate::records::checks::Checks;
use crate::store::Store;
use crate::store::keyed::statements::shape;
use crate::store::keyed::tables::Declared;
use crate::store::snapshot::{Dataset, Snapshot};
use crate::time::Calendar;
use crate::value::Value;

/// Declares a dataset, made when it is new.
///
/// # Errors
/// A declaration that contradicts itself, the records at hand, or the relations of other datasets.
pub fn declare(store: &Store, name: &str, declaration: Declaration) -> Result<()> {
    if !declaration.is_records() {
        check_search_of_events(&declaration)?;
        return store.declare(name, declaration);
    }
    let snapshot = store.snapshot();
    let known = snapshot.datasets.get(name).filter(|dataset| dataset.keyed.is_some());
    let dataset = as_declared(name, &declaration, known.map(|dataset| &**dataset));
    check_fields(&dataset)?;
    check_circles(&snapshot, name, &declaration)?;
    check_records(&dataset, known.map(|dataset| &**dataset))?;
    let index_conditions =
        declaration.indexes.iter().map(|index| condition(index, &dataset)).collect::<Result<_>>()?;
    store.declare(name, Declared { declaration, index_conditions })
}

/// The dataset as it will be, as far as names and types go.
fn as_declared(name: &str, declaration: &Declaration, known: Option<&Dataset>) -> Dataset {
    let mut fields = FieldSet::default();
    fields.add(&VERSION.into(), Kinds::of(FieldType::Int));
    for (field, declared) in &declaration.fields {
        fields.add(&field.as_str().into(), declared.kind.map_or(Kinds::default(), Kinds::of));
    }
    for field in &declaration.key {
        fields.add(&field.as_str().into(), Kinds::default());
    }
    for (field, kinds) in known.iter().filter(|known| known.rows() > 0).flat_map(|known| known.fields.iter())
    {
        let is_typed = declaration.fields.get(&**field).is_some_and(|declared| declared.kind.is_some());
        fields.add(field, if is_typed { Kinds::default() } else { kinds });
    }
    let new =
        Dataset { declaration: declaration.clone(), fields: fields.into(), ..Dataset::new(name.into()) };
    match known {
        None => new,
        Some(known) => Dataset { id: known.id, keyed: known.keyed.clone(), ..new },
    }
}

fn check_fields(dataset: &Dataset) -> Result<()> {
    let mut lower = BTreeMap::new();
    for (name, _) in dataset.fields.iter() {
        if let Some(other) = lower.insert(name.to_ascii_lowercase(), name) {
            return Err(Error::invalid(format!(
                "the fields \"{other}\" and \"{name}\" differ in the case of letters alone, which records do not tell apart; \
                 rename one of them"
            )));
        }
        quoted(name)?;
    }
    if let Some(name) = dataset.declaration.relations.keys().find(|name| dataset.fields.kinds(name).is_some())
    {
        return Err(Error::invalid(format!(
            "\"{name}\" is a field, so no relation can be called so: what belongs to a record stands beside its fields"
        )));
    }
    let names = |named: &str| match dataset.fields.kinds(named) {
        Some(_) => Ok(()),
        None => {
            let known: Vec<&str> = dataset.fields.iter().map(|(name, _)| &**name).collect();
            let hint = nearest_or_first(named, known.into_iter());
            Err(Error::invalid(format!(
                "\"{named}\" is no field of \"{}\"; declare it in \"fields\"{hint}",
                dataset.name
            )))
        }
    };
    let declared = &dataset.declaration;
    let indexed = declared.indexes.iter().flat_map(Index::columns).map(|(name, _)| name);
    let searched = declared.search.iter().map(|search| search.field.as_str());
    let related = declared.relations.values().filter(|relation| !relation.is_many());
    let related = related.flat_map(|relation| relation.by.iter().map(String::as_str));
    indexed.chain(searched).chain(related).try_for_each(names)?;
    Checks::of(dataset).map(drop)
}

/// Searched fields of events are those that will come; what is declared of their type has to be text.
fn check_search_of_events(declaration: &Declaration) -> Result<()> {
    let is_other = |name: &str| {
        let kind = declaration.fields.get(name).and_then(|field| field.kind);
        kind.is_some_and(|kind| !matches!(kind, FieldType::String | FieldType::Strings))
    };
    match declaration.search.iter().find(|search| is_other(&search.field)) {
        None => Ok(()),
        Some(search) => Err(Error::invalid(format!(
            "search names \"{}\", which is declared of another type than string or strings",
            search.field
        ))),
    }
}

/// The condition of an index in SQLite's own words: what needs a function of ours cannot stand there.
fn condition(index: &Index, dataset: &Dataset) -> Result<Option<String>> {
    let Some(text) = &index.condition else { return Ok(None) };
    let resolved = plan::condition(parse::filter(text)?, dataset)?;
    let column = |name: &str| {
        let kinds = crate::query::print::kinds::of_field(plan::field_kinds(name, dataset));
        Ok(Printed::value(quoted(name)?, kinds))
    };
    let printed = stored_expression(&resolved, &column)?.condition();
    // constants apart, a name that stands right before a parenthesis is a function
    let bare = shape(&printed);
    let mut pairs = bare.as_bytes().windows(2);
    match pairs
        .any(|pair| matches!(pair, [before, b'('] if before.is_ascii_alphanumeric() || *before == b'_'))
    {
        false => Ok(Some(printed)),
        true => Err(Error::invalid(format!(
            "the condition \"{text}\" of an index is more than SQLite can keep; it takes comparisons of fields of one declared \
             type with constants, IS NULL, IN, AND, OR and NOT, as in severity = 'high'"
        ))),
    }
}

/// Refuses checks that records at hand break.
fn check_records(dataset: &Dataset, known: Option<&Dataset>) -> Result<()> {
    let Some(known) = known.filter(|known| known.rows() > 0) else { return Ok(()) };
    let new = dataset.declaration.checks.iter().filter(|check| !known.declaration.checks.contains(check));
    for check in new {
        // a field that comes with this declaration has no value, of which no check says anything
        let is_known = |e: &crate::query::expression::Expr| plan::condition(e.clone(), known).is_ok();
        if !is_known(&parse::filter(check)?) {
            continue;
        }
        let sql = format!(
            "SELECT count(*) FROM {} WHERE NOT {}",
            crate::store::keyed::table(known.id),
            page::condition(check, known)?
        );
        let reader = reader::open(known.keyed()?, &Calendar::default(), &Budget::unbounded())?;
        let (rows, _) = reader.rows(&sql, &[])?;
        if let Some(Value::Int(broken @ 1..)) = rows.first().and_then(|row| row.first()) {
            return Err(Error::Conflict(format!(
                "{broken} records of \"{}\" break the check \"{check}\"; change them first, or declare another",
                known.name
            )));
        }
    }
    Ok(())
}

/// Refuses relations along which a record would belong to itself: whoever follows them would never come to an end.
fn check_circles(snapshot: &Snapshot, name: &str, declaration: &Declaration) -> Result<()> {
    // from those that belong to what they belong to; both sides may declare the same relation
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let others = snapshot.datasets.iter().filter(|(other, _)| ***other != *name);
    let declared = others.map(|(other, dataset)| (&**other, &dataset.declaration));
    for (dataset, declaration) in declared.chain([(name, declaration)]) {
        for relation in declaration.relations.values() {
            let (member, owner) = match relation.is_many() {
                true => (relation.dataset(), dataset),
                false => (dataset, relation.dataset()),
            };
            owners.entry(member).or_default().insert(owner);
        }
    }
    let mut way = vec![name];
    match circle(&owners, &mut way) {
        false => Ok(()),
        true => Err(Error::invalid(format!(
            "the relations go in a circle: {}; what belongs to something cannot be what that belongs to",
            way.join(" belongs to ")
        ))),
    }
}

/// Whether a way along owners comes back to its beginning; it is left in `way`.
fn circle<'a>(owners: &BTreeMap<&'a str, BTreeSet<&'a str>>, way: &mut Vec<&'a str>) -> bool {
    let Some(last) = way.last() else { return false };
    for owner in owners.get(last).into_iter().flatten() {
        if way.first() == Some(owner) {
            way.push(owner);
            return true;
        }
        if way.contains(owner) {
            continue;
        }
        way.push(owner);
        if circle(owners, way) {
            return true;
        }
        way.pop();
    }
    false
}

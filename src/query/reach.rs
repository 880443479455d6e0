//! How far a reader or writer reaches: which datasets it may touch, and the condition that every row has to satisfy to be
//! there for it at all. It goes with the limits of every question ([`Limits`](crate::query::budget::Limits)), and
//! [`Reach::dataset`] is the one way from the name of a dataset to its rows for everything that reads for someone.
//!
//! What must hold: a row filter is no part of the question. It becomes a [`Within`] of the dataset, and rows outside of it
//! are left out before any condition, expression, statistic or dictionary sees them; so it needs no place in the tree of the
//! question, sees no alias, and no fault of a question can come from a row that is out of reach. It cannot fail itself.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::columnar::Block;
use crate::columnar::bitmap::Bitmap;
use crate::error::{Error, Result};
use crate::fields::is_system;
use crate::fields::records::VERSION;
use crate::query::expression::Expr;
use crate::query::filter::{Filter, may_fail};
use crate::query::functions::Context;
use crate::query::parse;
use crate::query::plan::{add_columns, condition};
use crate::query::print::sqlite::keyed::{column, own_name};
use crate::query::print::sqlite::stored_expression;
use crate::query::prune::Verdict;
use crate::store::keyed::is_lazy;
use crate::store::part::Part;
use crate::store::snapshot::{Dataset, Snapshot, no_dataset};
use crate::store::within::Within;

/// Which datasets may be touched, and which of their rows.
#[derive(Debug, Default, Clone)]
pub struct Reach {
    /// Names and patterns; empty: all datasets.
    datasets: Vec<String>,
    filter: Option<RowFilter>,
}

/// A condition as it was read.
#[derive(Debug, Clone)]
struct RowFilter {
    text: Arc<str>,
    condition: Expr,
}

impl Reach {
    /// All rows of all datasets.
    pub fn everything() -> Self {
        Self::default()
    }

    /// No row of any dataset.
    pub fn nothing() -> Self {
        // the name that no dataset has
        Self { datasets: vec![String::new()], filter: None }
    }

    /// The rows for which a condition is true, of the datasets of these names; none: of all. In a name `*` stands for
    /// anything; names of the engine's own datasets, which begin with `_`, it stands for only behind a `_`.
    ///
    /// ```
    /// use windrow::Reach;
    ///
    /// let reach = Reach::new(&["web_*"], Some("tenant = 'a'"))?;
    /// assert!(reach.takes("web_visits") && !reach.takes("orders"));
    /// assert!(Reach::new(&[], Some("1 / n > 2")).is_err());
    /// # Ok::<(), windrow::Error>(())
    /// ```
    ///
    /// # Errors
    /// A pattern that no name of a dataset can have, and a condition that is none, that could fail for a row, or that names
    /// a field of the engine's own.
    pub fn new(datasets: &[&str], filter: Option<&str>) -> Result<Self> {
        if let Some(wrong) = datasets.iter().find(|name| !is_pattern(name)) {
            return Err(Error::invalid(format!(
                "\"{wrong}\" is no name of datasets; write one as it is, or a pattern such as web_*"
            )));
        }
        let datasets = datasets.iter().map(|name| (*name).to_owned()).collect();
        Ok(Self { datasets, filter: filter.map(RowFilter::read).transpose()? })
    }

    /// Whether it is all rows of all datasets.
    pub fn is_everything(&self) -> bool {
        self.datasets.is_empty() && self.filter.is_none()
    }

    /// Whether a dataset of this name may be touched.
    pub fn takes(&self, name: &str) -> bool {
        self.datasets.is_empty() || self.datasets.iter().any(|pattern| is_of(pattern, name))
    }

    /// The condition on rows, in canonical words.
    pub fn filter(&self) -> Option<&str> {
        self.filter.as_ref().map(|filter| &*filter.text)
    }

    /// What tells it from every other reach; `None`: everything.
    pub fn text(&self) -> Option<String> {
        let lengths: Vec<String> =
            self.datasets.iter().map(|name| format!("{}:{name}", name.len())).collect();
        (!self.is_everything()).then(|| format!("{} {}", lengths.join(","), self.filter().unwrap_or("-")))
    }

    /// That a dataset of this name may be touched, for those who are about to write.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn check(&self, name: &str) -> Result<()> {
        match self.takes(name) {
            true => Ok(()),
            false => Err(Error::Forbidden(format!(
                "the dataset \"{name}\" is not one of those that may be touched here"
            ))),
        }
    }

    /// That a dataset may be touched as a whole, by what no row filter can bind.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn check_whole(&self, name: &str, what: &str) -> Result<()> {
        self.check(name)?;
        self.check_unfiltered(what)
    }

    /// That no row filter binds what none can bind.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn check_unfiltered(&self, what: &str) -> Result<()> {
        match self.filter {
            None => Ok(()),
            Some(_) => {
                Err(Error::Forbidden(format!("{what} is not for those who are bound to a row filter")))
            }
        }
    }

    /// That all rows of all datasets are within reach.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn check_everything(&self, what: &str) -> Result<()> {
        match self.is_everything() {
            true => Ok(()),
            false => Err(Error::Forbidden(format!(
                "{what} is not for those who may touch some datasets or rows alone"
            ))),
        }
    }

    /// The dataset of a name with the rows that are within reach.
    ///
    /// # Errors
    /// `NotFound` with the nearest names that may be touched: a dataset that may not is as one that is not there.
    pub fn dataset(&self, snapshot: &Snapshot, name: &str) -> Result<Arc<Dataset>> {
        let Some(found) = snapshot.datasets.get(name).filter(|_| self.takes(name)) else {
            let known = snapshot.datasets.keys().map(|known| &**known).filter(|known| self.takes(known));
            return Err(no_dataset(name, known));
        };
        Ok(self.bind(found))
    }

    /// All datasets that may be touched, by name, each with the rows that are within reach.
    pub fn datasets(&self, snapshot: &Snapshot) -> Vec<Arc<Dataset>> {
        let taken = snapshot.datasets.values().filter(|dataset| self.takes(&dataset.name));
        taken.map(|dataset| self.bind(dataset)).collect()
    }

    fn bind(&self, dataset: &Arc<Dataset>) -> Arc<Dataset> {
        let Some(filter) = &self.filter else { return Arc::clone(dataset) };
        let bare = Dataset {
            // numbers are kept by the places of rows among all that there are
            numberings: Arc::default(),
            ..Dataset::clone(dataset)
        };
        Arc::new(match filter.within(dataset) {
            Some(within) => Dataset { within: Some(Arc::new(within)), ..bare },
            None => {
                let within = Some(Arc::new(filter.nothing()));
                Dataset { segments: Vec::new(), tail: Vec::new(), within, ..bare }
            }
        })
    }

    /// What rows have to satisfy that are about to be written; `None`: nothing. Fields that they bring are known already.
    pub fn of_new(&self, known: Option<&Dataset>, block: &Block) -> Option<Within> {
        let filter = self.filter.as_ref()?;
        let mut dataset = known.map_or_else(|| Dataset::new("".into()), Dataset::clone);
        let fields = Arc::make_mut(&mut dataset.fields);
        block.columns().filter(|(name, _)| !is_system(name)).for_each(|(name, column)| {
            fields.add(name, column.kinds());
        });
        Some(filter.within(&dataset).unwrap_or_else(|| filter.nothing()))
    }
}

impl RowFilter {
    fn read(text: &str) -> Result<Self> {
        let condition = parse::filter(text)?;
        let refused = |why: String| {
            Error::invalid(format!(
                "\"{text}\" is no row filter: {why}; it is made of comparisons, IN, BETWEEN, LIKE, IS NULL, AND, OR, NOT and \
                 CAST, of the fields of rows and of constants"
            ))
        };
        if may_fail(&condition) {
            return Err(refused("there may be rows for which it fails".to_owned()));
        }
        let mut names = Vec::new();
        add_columns(&condition, &mut names);
        if let Some(name) = names.iter().find(|name| is_system(name) || ***name == *VERSION) {
            return Err(refused(format!("\"{name}\" is the engine's own")));
        }
        Ok(Self { text: condition.to_string().into(), condition })
    }

    /// What it comes to for a dataset; `None`: it is true for no row, as where the dataset has no such field.
    fn within(&self, dataset: &Dataset) -> Option<Within> {
        let resolved =
            condition(self.condition.clone(), dataset).ok().filter(|resolved| !may_fail(resolved))?;
        let mut fields = Vec::new();
        add_columns(&resolved, &mut fields);
        if fields.iter().any(|name| is_lazy(dataset, name)) {
            return None;
        }
        let sql = match &dataset.keyed {
            None => String::new(),
            Some(_) => {
                let own = own_name(dataset);
                stored_expression(&resolved, &|name| column(dataset, &own, name)).ok()?.condition()
            }
        };
        // no name that it can have needs to know more of the dataset
        let unknown = Dataset::new(Arc::clone(&dataset.name));
        Some(Within::new(Arc::clone(&self.text), fields, sql, move |part: &Part| {
            let filter = Filter::new(Some(&resolved));
            match filter.verdict(part)? {
                Verdict::Never => Ok(Bitmap::filled(part.rows(), false)),
                _ => filter.rows(&unknown, part, &Context::new(TimeZone::UTC)),
            }
        }))
    }

    fn nothing(&self) -> Within {
        Within::new(Arc::clone(&self.text), Vec::new(), "0".to_owned(), |part: &Part| {
            Ok(Bitmap::filled(part.rows(), false))
        })
    }
}

fn is_pattern(name: &str) -> bool {
    let is_known = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '*');
    !name.is_empty() && name.chars().all(is_known)
}

/// Whether a name is of a pattern; the leftmost place of each piece leaves the most room for those after it.
fn is_of(pattern: &str, name: &str) -> bool {
    if name.starts_with('_') && !pattern.starts_with('_') {
        return false;
    }
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_patterns() {
        for (pattern, name, wanted) in [
            ("visits", "visits", true),
            ("visits", "visits2", false),
            ("web_*", "web_visits", true),
            ("web_*", "web_", true),
            ("web_*", "web", false),
            ("*_log", "a_log", true),
            ("*_log", "a_log_b", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("*", "visits", true),
            ("*", "_audit", false),
            ("_*", "_audit", true),
            ("_audit", "_audit", true),
        ] {
            assert_eq!(is_of(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_filter_that_could_fail_or_reads_what_is_no_field_is_none() {
        for fine in [
            "tenant = 'a'",
            "tenant IN ('a', 'b') AND (level >= 3 OR level IS NULL)",
            "NOT tenant LIKE 'b%'",
            "n BETWEEN 1 AND 3",
            "CAST(n AS string) = '7'",
            "\"props.plan\" IS DISTINCT FROM 'free'",
        ] {
            Reach::new(&[], Some(fine)).unwrap();
        }
        for (wrong, word) in [
            ("n + 1 > 2", "fails"),
            ("lower(tenant) = 'a'", "fails"),
            ("tenant LIKE pattern", "fails"),
            ("count() > 1", "aggregate"),
            ("_seq < 7", "_seq"),
            ("_id = '7'", "_id"),
            ("tenant = 'a' AND _time > '2026-01-01'", "_time"),
            ("tenant =", "expression"),
            ("tenant = (SELECT 'a')", ""),
        ] {
            let told = Reach::new(&[], Some(wrong)).unwrap_err().to_string();
            assert!(told.contains(word), "{wrong}: {told}");
        }
        for wrong in ["", "Visits", "a b", "a'"] {
            assert!(Reach::new(&[wrong], None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_tells_reaches_apart_has_all_of_them() {
        let of = |names: &[&str], filter| Reach::new(names, filter).unwrap().text();
        assert_eq!(of(&[], None), None);
        let all = [
            of(&["a"], None),
            of(&["a", "b"], None),
            of(&[], Some("t = 'a'")),
            of(&["a"], Some("t = 'a'")),
            of(&["a"], Some("t = 'b'")),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(one.is_some() && !all[..at].contains(one), "{one:?}");
        }
        assert_eq!(of(&[], Some("t='a'")), of(&[], Some("t  =  'a'")));
    }
}

//! Search: what people type becomes words to look for, which are found, ranked, shown with a piece of text around them, and
//! counted by fields. Records have an index of words (`search_records`), events are looked through (`search_events`); both
//! answer alike. A word that is in no text is taken for a typing error of one that is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cache::class::{Terms, Use};
use crate::cache::key::Key;
use crate::cache::{Computed, Kept, Wish};
use crate::error::{Error, Result};
use crate::limits;
use crate::query::budget::{Budget, Limits};
use crate::query::cursor::Cursor;
use crate::query::functions::search::text_of;
use crate::query::kept::version;
use crate::query::plan;
use crate::query::words::language::read;
use crate::query::words::node::Node;
use crate::query::words::snippet::{Marks, Wanted, snippet};
use crate::records::{search_events, search_records};
use crate::store::snapshot::{Dataset, Snapshot};
use crate::value::Value;

/// Words around what was found.
const SNIPPET_WORDS: usize = 24;
/// Values of a facet that are told.
pub(super) const FACET_VALUES: usize = 50;

/// What is searched; texts as the client sent them.
#[derive(Debug, Clone, Default)]
pub struct SearchRequest {
    /// The dataset.
    pub dataset: String,
    /// What is looked for.
    pub text: String,
    /// Rows that count: a SQL expression.
    pub filter: Option<String>,
    /// Whether the best come first, or the newest; else the best of records and the newest of events.
    pub by_rank: Option<bool>,
    /// Exactly these fields, in this order; else all that are not lazy.
    pub fields: Option<Vec<String>>,
    /// Fields whose values are counted over everything found.
    pub facets: Vec<String>,
    /// Rows at most.
    pub limit: Option<usize>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Whether everything found is to be counted.
    pub count: bool,
    /// Which stored answers are welcome.
    pub cache: Use,
    /// What it may take.
    pub limits: Limits,
}

/// A row that was found, as names and values.
pub type FoundRow = Vec<(Arc<str>, Value)>;

/// A facet: the field, its values and how often each is there.
pub type Facet = (String, Vec<(Value, u64)>);

/// What was found.
#[derive(Debug, Default, Clone)]
pub struct Found {
    /// Rows as names and values; `_score` and `_snippet` are the last.
    pub rows: Vec<FoundRow>,
    /// The values of each facet and how often they are there, the most frequent first.
    pub facets: Vec<Facet>,
    /// Cursor of the rows after these.
    pub next: Option<String>,
    /// Everything found, where it was to be counted.
    pub total: Option<u64>,
    /// How the search was answered, where that is not as it was asked.
    pub told: Told,
    /// How long ago it was found.
    pub age: Duration,
}

impl Kept for Found {
    fn bytes(&self) -> usize {
        let cells = |row: &FoundRow| {
            row.iter().map(|(_, value)| value.bytes() + size_of::<Arc<str>>()).sum::<usize>()
        };
        let values = |(_, values): &Facet| values.iter().map(|(value, _)| value.bytes() + 8).sum::<usize>();
        size_of::<Self>()
            + self.rows.iter().map(cells).sum::<usize>()
            + self.facets.iter().map(values).sum::<usize>()
    }

    /// Searches are kept in memory alone: an index finds them again as quickly as a file.
    fn write(&self) -> Option<Vec<u8>> {
        None
    }

    fn read(_: &[u8]) -> Option<Self> {
        None
    }
}

/// How a search was answered.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// What the user should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Words that are in no text, and those that were taken for them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub corrected: BTreeMap<String, Vec<String>>,
}

/// A search that was read, for one dataset.
pub(super) struct Asked<'a> {
    pub dataset: &'a Dataset,
    pub request: &'a SearchRequest,
    pub names: Vec<&'a str>,
    pub weights: Vec<f64>,
    pub node: Node,
    pub fields: Vec<Arc<str>>,
    pub facets: Vec<Arc<str>>,
    pub limit: usize,
    pub by_rank: bool,
    /// Where to go on.
    pub after: Option<After>,
    pub budget: Arc<Budget>,
    pub secret: &'a [u8; 32],
    told: Told,
}

/// The place behind which a search goes on.
#[derive(Debug, Clone, Default)]
pub(super) struct After {
    /// As it was ranked: the best are the least.
    pub score: f64,
    pub seq: i64,
    /// The cursor of the page of rows that it goes by, instead.
    pub page: Option<String>,
    /// The search as it was answered, and what was told of it.
    answered: String,
    told: Told,
}

/// Searches a dataset.
///
/// # Errors
/// Unknown names, a dataset that declares no search, a limit out of bounds, a cursor of another search.
pub fn search(snapshot: &Snapshot, secret: &[u8; 32], request: &SearchRequest) -> Result<Found> {
    let Some(cache) = request.limits.cache.as_ref().filter(|_| request.cache.is_welcome()) else {
        return find(snapshot, secret, request);
    };
    let bare = SearchRequest { limits: Limits::default(), cache: Use::Exact, ..request.clone() };
    let datasets = [request.dataset.as_str()];
    let key = Key::of_text("search", &datasets, &format!("{bare:?}"), request.limits.reach.text().as_deref());
    let Terms { class, max_age, stale } = request.cache.terms(cache.classes());
    let deadline = Instant::now().checked_add(request.limits.deadline);
    let wish = Wish { version: version(snapshot, &datasets), class, max_age, deadline };
    let again = || -> Box<dyn FnOnce() + Send> {
        let (snapshot, secret) = (snapshot.clone(), *secret);
        let request = SearchRequest { cache: Use::Within(Duration::ZERO, Duration::ZERO), ..request.clone() };
        Box::new(move || drop(search(&snapshot, &secret, &request)))
    };
    if let Some(got) = cache.get_stale::<Found>(&key, &wish, stale, again) {
        return Ok(Found { age: got.age, ..Found::clone(&got.value) });
    }
    let got = cache.get_or_compute(&key, &wish, || {
        let found = find(snapshot, secret, request)?;
        Ok(Computed { rows: found.rows.len() as u64, is_kept: true, value: found })
    })?;
    Ok(Found { age: got.age, ..Found::clone(&got.value) })
}

fn find(snapshot: &Snapshot, secret: &[u8; 32], request: &SearchRequest) -> Result<Found> {
    let dataset = &*request.limits.reach.dataset(snapshot, &request.dataset)?;
    let declared = &dataset.declaration.search;
    if declared.is_empty() {
        return Err(Error::invalid(format!(
            "\"{}\" declares no fields to search; declare it with \"search\": [\"title^3\", \"body\"] or the like",
            dataset.name
        )));
    }
    let names: Vec<&str> = declared.iter().map(|search| search.field.as_str()).collect();
    let by_rank = request.by_rank.unwrap_or(dataset.keyed.is_some());
    let reading = read(&request.text, &names);
    let mut told = Told { notes: reading.note.into_iter().collect(), ..Told::default() };
    let fields = match &request.fields {
        Some(names) => crate::query::page::canonical(names, dataset)?,
        None => plan::all_fields(dataset).collect(),
    };
    let facets = crate::query::page::canonical(&request.facets, dataset)?;
    let limit = limit(request.limit)?;
    let after = after(secret, request, by_rank)?;
    let node = match &after {
        // page by page the search stays as it was answered first
        Some(after) => {
            told = after.told.clone();
            read(&after.answered, &names).node
        }
        None => reading.node,
    };
    let Some(node) = node else {
        told.notes.push("there is no word to look for in q".to_owned());
        return Ok(Found { told, total: request.count.then_some(0), ..Found::default() });
    };
    let mut asked = Asked {
        dataset,
        request,
        weights: declared.iter().map(|search| search.weight).collect(),
        names,
        node,
        fields,
        facets,
        limit,
        by_rank,
        after,
        budget: Budget::new(&request.limits),
        secret,
        told: told.clone(),
    };
    let find = |asked: &Asked<'_>| match has_index(dataset) {
        true => search_records::find(asked),
        false => search_events::find(snapshot, asked),
    };
    let mut found = find(&asked)?;
    for step in [Step::Corrected, Step::AnyWord] {
        if !found.rows.is_empty() || asked.after.is_some() {
            break;
        }
        match step.of(snapshot, &asked, &mut told)? {
            None => continue,
            Some(wider) => asked.node = wider,
        }
        asked.told = told.clone();
        found = find(&asked)?;
    }
    if found.rows.is_empty() && asked.after.is_none() {
        // what did not help is not told
        told.corrected.clear();
        told.notes.truncate(1);
    }
    Ok(Found { told, ..found })
}

/// Ways to find something where nothing was found.
enum Step {
    Corrected,
    AnyWord,
}

impl Step {
    fn of(&self, snapshot: &Snapshot, asked: &Asked<'_>, told: &mut Told) -> Result<Option<Node>> {
        match self {
            Self::Corrected => {
                let wanted = asked.node.wanted();
                let words = wanted.into_iter().filter(|wanted| !wanted.is_prefix).map(|wanted| wanted.word);
                let corrected = match has_index(asked.dataset) {
                    true => search_records::corrections(asked, words)?,
                    false => search_events::corrections(snapshot, asked, words)?,
                };
                if corrected.is_empty() {
                    return Ok(None);
                }
                let node = asked.node.replace(&corrected);
                told.corrected = corrected;
                Ok(Some(node))
            }
            Self::AnyWord => {
                let any = asked.node.any();
                if any == asked.node {
                    return Ok(None);
                }
                told.notes.push("nothing has all the words; these have some of them".to_owned());
                Ok(Some(any))
            }
        }
    }
}

/// Whether the index of a dataset may be asked. It tells of all records how many have a word, in the score of each that has
/// it and in corrections; who is bound to a row filter has those within reach looked through, as events are.
fn has_index(dataset: &Dataset) -> bool {
    dataset.keyed.is_some() && dataset.within.is_none()
}

fn limit(asked: Option<usize>) -> Result<usize> {
    match asked.unwrap_or(limits::PAGE_ROWS_DEFAULT) {
        limit @ 1..=limits::PAGE_ROWS => Ok(limit),
        limit => Err(Error::invalid(format!(
            "a search gives 1 to {} rows at once, not {limit}; take further rows by cursor",
            limits::PAGE_ROWS
        ))),
    }
}

/// The order that a cursor of a search tells.
fn order_name(text: &str, by_rank: bool) -> String {
    format!("{}: {text}", if by_rank { "rank" } else { "newest" })
}

fn after(secret: &[u8; 32], request: &SearchRequest, by_rank: bool) -> Result<Option<After>> {
    let Some(text) = &request.cursor else { return Ok(None) };
    let cursor = Cursor::verify(text, secret)?;
    let order = order_name(&request.text, by_rank);
    if cursor.dataset != request.dataset
        || cursor.reach.as_deref() != request.limits.reach.filter()
        || cursor.order.as_ref() != Some(&order)
        || cursor.filter != request.filter
    {
        return Err(Error::invalid(
            "the cursor belongs to another search; repeat q, where and order unchanged, or begin again without it",
        ));
    }
    let text = |at: usize| cursor.keys.get(at).and_then(Value::as_str).unwrap_or_default();
    let told = serde_json::from_str(text(2)).unwrap_or_default();
    let answered = text(1).to_owned();
    let (score, page) = match cursor.keys.first() {
        Some(Value::Float(score)) => (*score, None),
        Some(Value::Text(page)) => (0.0, Some(page.to_string())),
        _ => (0.0, None),
    };
    Ok(Some(After { score, seq: cursor.seq, page, answered, told }))
}

impl Asked<'_> {
    /// The cursor behind a row.
    pub fn cursor(&self, score: f64, seq: i64) -> String {
        self.cursor_with(Value::Float(score), seq)
    }

    /// The cursor that goes on with a page of rows.
    pub fn cursor_of_page(&self, page: String) -> String {
        self.cursor_with(Value::text(page), 0)
    }

    fn cursor_with(&self, key: Value, seq: i64) -> String {
        let cursor = Cursor {
            dataset: self.request.dataset.clone(),
            filter: self.request.filter.clone(),
            order: Some(order_name(&self.request.text, self.by_rank)),
            backward: false,
            keys: vec![
                key,
                Value::text(self.node.to_text()),
                Value::text(serde_json::to_string(&self.told).unwrap_or_default()),
            ],
            seq,
            reach: self.request.limits.reach.filter().map(str::to_owned),
        };
        cursor.sign(self.secret)
    }

    /// A row with its score, and a piece of one of its texts.
    pub fn row(&self, values: &[Value], piece: Option<String>, score: Option<f64>) -> FoundRow {
        let mut row = crate::query::keyed::page::named(&self.fields, values, self.request.fields.is_some());
        row.extend(score.map(|score| ("_score".into(), Value::finite(score))));
        row.push(("_snippet".into(), piece.map_or(Value::Null, Value::text)));
        row
    }

    /// A piece of the first of some texts that has one of the words.
    pub fn piece(&self, texts: &[Value]) -> Option<String> {
        let wanted = self.node.wanted();
        texts.iter().find_map(|text| piece(text, &wanted))
    }
}

fn piece(text: &Value, wanted: &[Wanted]) -> Option<String> {
    const MARKS: Marks<'static> = Marks { before: "<mark>", after: "</mark>", dots: "…", escape: true };
    match text {
        Value::Null => None,
        Value::Text(text) => snippet(text, wanted, SNIPPET_WORDS, &MARKS),
        other => snippet(&text_of(other), wanted, SNIPPET_WORDS, &MARKS),
    }
}

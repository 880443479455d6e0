//! What is computed of groups, each thing once: sum and mean of a field are one state, the count of rows is that of the
//! groups, three quantiles of a field are three places in one list. `execute` feeds them part by part.

use crate::columnar::column::Column;
use crate::error::{Error, Result};
use crate::limits;
use crate::query::aggregate::{Family, Input, NO_SLOT, Share, State};
use crate::query::codes::{Coder, Domain};
use crate::query::explode::{explode, exploded};
use crate::query::expression::{AggregateCall, Expr};
use crate::query::functions::Context;
use crate::query::group::{Groups, Moved, bits_of, packed};
use crate::query::needs::Needs;
use crate::query::partial::Partial;
use crate::query::plan::is_same;
use crate::query::slots::Slots;
use crate::query::vector;
use crate::query::view::View;
use crate::store::part::Part;
use crate::store::snapshot::Dataset;
use crate::time::Calendar;

/// Keys and aggregates over some parts, ready to be computed.
#[derive(Debug)]
pub struct Measures<'a> {
    keys: &'a [Expr],
    key_domains: Vec<Domain>,
    aggregates: &'a [AggregateCall],
    /// By aggregate, the measure that it is made of.
    made_of: Vec<usize>,
    measures: Vec<Measure<'a>>,
    /// Conditions of aggregates.
    filters: Vec<&'a Expr>,
    /// The measure that counts the rows of groups beside its own work, where one can.
    counting: Option<usize>,
}

#[derive(Debug)]
struct Measure<'a> {
    family: Family,
    argument: Option<&'a Expr>,
    filter: Option<usize>,
    domain: Domain,
    /// What falls to one task.
    share: Share,
}

/// Groups with the states of all measures.
#[derive(Debug)]
pub struct Found {
    /// The groups.
    pub groups: Groups,
    states: Vec<State>,
}

/// Tasks a thread has, at most: more than one, so that none waits long for the last.
pub const TASKS: usize = 2;

impl Found {
    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.groups.bytes() + self.states.iter().map(State::bytes).sum::<usize>()
    }
}

impl<'a> Measures<'a> {
    /// Prepares keys and aggregates of a plan.
    ///
    /// # Errors
    /// A zone that cannot be read.
    pub fn new(
        keys: &'a [Expr],
        aggregates: &'a [AggregateCall],
        dataset: &Dataset,
        parts: &[Part],
        calendar: &Calendar,
    ) -> Result<Self> {
        let domain = |expression: &Expr| Domain::of(expression, dataset, parts, calendar);
        let key_domains = keys.iter().map(domain).collect::<Result<_>>()?;
        let mut all = Self {
            keys,
            key_domains,
            aggregates,
            made_of: Vec::new(),
            measures: Vec::new(),
            filters: Vec::new(),
            counting: None,
        };
        for call in aggregates {
            let filter = call.filter.as_ref().map(|filter| all.filter(filter));
            let (family, argument) = (Family::of(call.function), call.argument.as_ref());
            let is_known = |known: &Measure<'_>| {
                known.family == family && known.filter == filter && is_same(&known.argument, &argument)
            };
            let place = match all.measures.iter().position(is_known) {
                Some(place) => place,
                None => {
                    let domain = match (family, argument) {
                        (Family::Distinct, Some(argument)) => domain(argument)?,
                        (Family::Numbers, Some(argument)) => Domain::of_numbers(argument, dataset, parts)?,
                        _ => Domain::Open,
                    };
                    all.measures.push(Measure { family, argument, filter, domain, share: Share::default() });
                    all.measures.len() - 1
                }
            };
            all.made_of.push(place);
        }
        let tasks = rayon::current_num_threads() * TASKS;
        let rows = parts.iter().map(Part::rows).sum::<usize>() / tasks;
        for family in [Family::Distinct, Family::Numbers] {
            let count = all.measures.iter().filter(|measure| measure.family == family).count();
            let share = Share { states: count * tasks, rows };
            all.measures.iter_mut().filter(|m| m.family == family).for_each(|m| m.share = share);
        }
        all.counting = all.measures.iter().position(|m| m.family == Family::Sum && m.filter.is_none());
        Ok(all)
    }

    fn filter(&mut self, filter: &'a Expr) -> usize {
        self.filters.iter().position(|known| is_same(*known, filter)).unwrap_or_else(|| {
            self.filters.push(filter);
            self.filters.len() - 1
        })
    }

    /// What is computed, as a text that is the same for all questions which may share what they found.
    pub fn shape(&self) -> String {
        let filter = |at: usize| self.filters.get(at);
        let measures = self.measures.iter().map(|m| (m.family, m.argument, m.filter.and_then(filter)));
        format!("{:?} {:?}", self.keys, measures.collect::<Vec<_>>())
    }

    /// What is read of a part.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        self.keys.iter().zip(&self.key_domains).for_each(|(key, domain)| needs.add_coded(key, domain));
        self.add_needs(&mut needs);
        needs
    }

    fn add_needs(&self, needs: &mut Needs) {
        for measure in &self.measures {
            match (measure.family, measure.argument) {
                (Family::Distinct, Some(argument)) => needs.add_coded(argument, &measure.domain),
                (_, Some(argument)) => needs.add(argument),
                (_, None) => {}
            }
            measure.family.places().iter().for_each(|name| needs.add(&Expr::Column((*name).into())));
        }
        self.filters.iter().for_each(|filter| needs.add(filter));
    }

    /// Whether a numbering that it counts on was given up meanwhile; it is then to be prepared anew.
    pub fn is_outdated(&self) -> bool {
        let domains = self.key_domains.iter().chain(self.measures.iter().map(|measure| &measure.domain));
        domains.filter_map(Domain::numbering).any(|numbering| numbering.is_full())
    }

    /// The bits of packed keys, where groups are so many that rows are best parted by their keys first.
    pub fn part_by(&self) -> Option<Vec<u32>> {
        let are_same = self.key_domains.iter().all(Domain::is_fixed);
        if !are_same || !Groups::are_looked_up(&self.key_domains) {
            return None;
        }
        bits_of(&self.key_domains)
    }

    /// The packed keys of all rows of a view; the coders are those of one task.
    ///
    /// # Errors
    /// As evaluating the keys.
    pub fn packed_keys(
        &self,
        coders: &mut [Coder],
        bits: &[u32],
        view: &View,
        context: &Context,
    ) -> Result<Vec<u64>> {
        let coded = coders.iter_mut().zip(self.keys).map(|(coder, key)| coder.codes(key, view, context));
        Ok(packed(&coded.collect::<Result<Vec<_>>>()?, bits, view.rows))
    }

    /// What the measures read of a view whose keys are known.
    pub fn after_keys(&self, view: View) -> View {
        let mut needs = Needs::default();
        self.add_needs(&mut needs);
        view.only(&needs)
    }

    /// Coders of the keys, for one task.
    pub fn coders(&self) -> Vec<Coder> {
        self.key_domains.iter().map(Coder::new).collect()
    }

    /// The groups of no rows, by keys that come packed.
    pub fn start_packed(&self, bits: &[u32], room: usize) -> Found {
        let groups = Groups::packed(&self.key_domains, bits.to_vec(), room);
        Found { groups, states: self.measures.iter().map(Measure::state).collect() }
    }

    /// The groups of no rows.
    pub fn start(&self) -> Found {
        self.start_for(usize::MAX)
    }

    /// The groups of no rows, of a task that takes in so many at most.
    pub fn start_for(&self, rows: usize) -> Found {
        let groups = Groups::new(&self.key_domains);
        let mut states: Vec<State> = self.measures.iter().map(|measure| measure.state_for(rows)).collect();
        states.iter_mut().for_each(|state| state.grow(groups.slots_count()));
        Found { groups, states }
    }

    /// Takes in the rows of a view.
    ///
    /// # Errors
    /// As evaluating keys, arguments and conditions; too many groups.
    pub fn add(&self, found: &mut Found, view: &View, context: &Context) -> Result<()> {
        let exploded = exploded(self.keys).map(|list| explode(view, list, context)).transpose()?;
        let view = exploded.as_ref().unwrap_or(view);
        let (slots, moved) = found.groups.slots(self.keys, view, context)?;
        self.update(found, &slots, moved, view, context)
    }

    /// Takes in the rows of a view whose keys are packed already.
    ///
    /// # Errors
    /// As [`Measures::add`].
    pub fn add_packed(&self, found: &mut Found, keys: &[u64], view: &View, context: &Context) -> Result<()> {
        let slots = found.groups.slots_of_packed(keys);
        self.update(found, &slots, None, view, context)
    }

    fn update(
        &self,
        found: &mut Found,
        slots: &Slots,
        moved: Option<Moved>,
        view: &View,
        context: &Context,
    ) -> Result<()> {
        check_count(&found.groups)?;
        self.make_room(found, moved);
        let filtered = self.filters.iter().map(|filter| {
            let rows = vector::filter(filter, view, context)?.rows();
            Ok((view.take(&rows), slots.take(&rows)))
        });
        // of the rows that count only: a fault in the others is none
        let filtered = filtered.collect::<Result<Vec<_>>>()?;
        let counted = match self.counting {
            Some(at) => {
                let input = Input { view, argument: self.measures[at].argument, context };
                found.states[at].update_and_count(slots, input)?
            }
            None => false,
        };
        if !counted {
            found.groups.count(slots);
        }
        for (at, (state, measure)) in found.states.iter_mut().zip(&self.measures).enumerate() {
            if counted && Some(at) == self.counting {
                continue;
            }
            let (view, slots) = match measure.filter {
                None => (view, slots),
                Some(filter) => (&filtered[filter].0, &filtered[filter].1),
            };
            state.update(slots, Input { view, argument: measure.argument, context })?;
        }
        Ok(())
    }

    /// Ends a task: what was counted elsewhere comes to the groups.
    pub fn settle(&self, mut found: Found) -> Found {
        if let Some(State::Sum(sums)) = self.counting.map(|at| &mut found.states[at]) {
            found.groups.add_rows(sums.take_rows());
        }
        found
    }

    /// Puts what another task found to what one found.
    ///
    /// # Errors
    /// Too many groups.
    pub fn absorb(&self, found: &mut Found, other: Found) -> Result<()> {
        let (map, moved) = found.groups.absorb(other.groups);
        check_count(&found.groups)?;
        self.make_room(found, moved);
        for (state, more) in found.states.iter_mut().zip(other.states) {
            state.absorb(more, map.as_deref());
        }
        Ok(())
    }

    /// What a settled task or all of them found, apart from how this question numbers its groups: to be kept for later ones.
    /// `None` where it cannot be made small.
    pub fn keep(&self, found: Found) -> Option<Partial> {
        let slots = found.groups.numbers();
        let mut map = vec![NO_SLOT; found.groups.slots_count().max(1)];
        slots.iter().enumerate().for_each(|(place, slot)| map[*slot as usize] = place as u32);
        let (mut states, mut kinds) = (Vec::with_capacity(self.measures.len()), Vec::new());
        for (state, measure) in found.states.into_iter().zip(&self.measures) {
            let mut alone = measure.state();
            alone.grow(slots.len());
            alone.absorb(state, Some(&map));
            if !alone.compact() {
                return None;
            }
            states.push(alone);
            kinds.push((measure.family, measure.filter.is_some()));
        }
        let keys = (0..self.keys.len()).map(|at| found.groups.key_column(at, &slots)).collect();
        let rows = slots.iter().map(|slot| found.groups.rows()[*slot as usize]).collect();
        Some(Partial { keys, rows, states, kinds })
    }

    /// Puts what was found and kept by an earlier question of the same keys and aggregates to what one found.
    ///
    /// # Errors
    /// Too many groups, and values that are too many to number.
    pub fn absorb_kept(&self, found: &mut Found, kept: &Partial) -> Result<()> {
        let (map, moved) = found.groups.take_in(&kept.keys, &kept.rows)?;
        check_count(&found.groups)?;
        self.make_room(found, moved);
        for ((state, measure), more) in found.states.iter_mut().zip(&self.measures).zip(&kept.states) {
            let mut more = more.clone();
            more.recode(&measure.domain)?;
            state.absorb(more, Some(&map));
        }
        Ok(())
    }

    /// Follows slots that moved, and makes room for new ones.
    fn make_room(&self, found: &mut Found, moved: Option<Moved>) {
        let slots = found.groups.slots_count();
        for (state, measure) in found.states.iter_mut().zip(&self.measures) {
            if let Some(moved) = &moved {
                let mut anew = measure.state();
                anew.grow(slots);
                anew.absorb(std::mem::replace(state, measure.state()), Some(moved));
                *state = anew;
            }
            state.grow(slots);
        }
    }

    /// The results of an aggregate for some slots.
    ///
    /// # Errors
    /// A sum beyond 64 bits.
    pub fn finish(&self, found: &mut Found, aggregate: usize, slots: &[u32]) -> Result<Column> {
        let function = self.aggregates[aggregate].function;
        found.states[self.made_of[aggregate]].finish(function, slots, found.groups.rows())
    }
}

impl Measure<'_> {
    /// The state of a task with so many rows, or its share of all. Only numbers are counted otherwise for few rows: sets of
    /// distinct values are merged with those that were kept, in the form that these have.
    fn state_for(&self, rows: usize) -> State {
        if self.family != Family::Numbers {
            return self.state();
        }
        let share = Share { rows: rows.min(self.share.rows), ..self.share };
        State::new(self.family, self.filter.is_some(), &self.domain, share)
    }

    fn state(&self) -> State {
        State::new(self.family, self.filter.is_some(), &self.domain, self.share)
    }
}

fn check_count(groups: &Groups) -> Result<()> {
    if groups.slots_count() <= limits::GROUPS {
        return Ok(());
    }
    Err(Error::TooLarge(format!(
        "the query makes more than {} groups; narrow it with where, or group by fewer fields",
        limits::GROUPS
    )))
}

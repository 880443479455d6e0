//! How many things may go on at once, by subject. What is remembered is what goes on, so it needs no other bound.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::limiter::Who;

/// What goes on.
#[derive(Debug, Default)]
pub struct Slots {
    taken: Mutex<HashMap<Who, usize>>,
}

impl Slots {
    /// Takes a place among so many, until the guard is dropped; `None` where all are taken.
    pub fn take(&self, who: &Who, most: usize) -> Option<Slot<'_>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(who).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        taken.insert(who.clone(), count + 1);
        Some(Slot { of: self, who: who.clone() })
    }
}

/// A place that is taken.
#[derive(Debug)]
pub struct Slot<'a> {
    of: &'a Slots,
    who: Who,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.who) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = taken.remove(&self.who),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_subject_and_free_again_when_they_are_left() {
        let slots = Slots::default();
        let (one, other) = (Who::Key("one".into()), Who::Key("other".into()));
        let first = slots.take(&one, 2);
        let second = slots.take(&one, 2);
        assert!(first.is_some() && second.is_some() && slots.take(&one, 2).is_none());
        assert!(slots.take(&other, 2).is_some());
        drop(first);
        let third = slots.take(&one, 2);
        assert!(third.is_some() && slots.take(&one, 2).is_none());
        drop((second, third));
        assert!(slots.taken.lock().unwrap().is_empty(), "nothing is left behind");
    }
}

//! Which days the page shows: the last 30 with today, or where no event lies in them the 30 up to the newest event.

use crate::time::{Bucket, Bucketer, Calendar, SECOND};

/// Days of the page.
pub const DAYS: usize = 30;

/// The days of the page, on a calendar.
#[derive(Debug)]
pub struct Window {
    /// Midnight of the first day, µs.
    pub from_us: i64,
    /// All events are before: now, or the end of the newest event's day.
    pub to_us: i64,
    /// Whether it ends now; else it ends where the events do.
    pub ends_now: bool,
    /// The first and the last event of the dataset, µs.
    pub events_us: (i64, i64),
    /// Where days begin.
    pub calendar: Calendar,
}

impl Window {
    /// The days to show of a dataset whose first and last events were then; `None` where it has no events.
    pub fn of(events_us: Option<(i64, i64)>, calendar: Calendar, now_us: i64) -> Option<Self> {
        let (first, last) = events_us?;
        let mut days = Bucketer::new(Bucket::Day, &calendar);
        let today = days.start(now_us);
        let mut from_us = back(&mut days, today);
        // whole seconds, which is what the calls can say in few words, and this one too: who has just sent the first event
        // finds it
        let mut to_us = (now_us.div_euclid(SECOND) + 1) * SECOND;
        let ends_now = last >= from_us && first < to_us;
        if !ends_now {
            let newest = days.start(last);
            from_us = back(&mut days, newest);
            to_us = days.next(newest);
        }
        Some(Self { from_us, to_us, ends_now, events_us: (first, last), calendar })
    }
}

/// The first of so many days that a day is the last of.
fn back(days: &mut Bucketer, last: i64) -> i64 {
    (1..DAYS).fold(last, |day, _| days.start(day.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::columnar::column::Column;
    use crate::columnar::{Block, TIME};
    use crate::store::snapshot::{Dataset, TailBlock};
    use crate::time::{format_in, parse};

    fn window(events: &[&str], tz: &str, now: &str) -> Option<(String, String, bool)> {
        let times: Vec<i64> = events.iter().map(|text| parse(text).unwrap()).collect();
        let mut dataset = Dataset::new("visits".into());
        if !times.is_empty() {
            let block = Block::new(times.len(), vec![(TIME.into(), Arc::new(Column::times(&times)))]);
            dataset.tail = vec![TailBlock { first_seq: 1, block: Arc::new(block) }];
        }
        let calendar = Calendar::named(Some(tz), None).unwrap();
        let found = Window::of(dataset.time_range(), calendar, parse(now).unwrap())?;
        let told = |us: i64| format_in(us, &found.calendar.tz);
        Some((told(found.from_us), told(found.to_us), found.ends_now))
    }

    #[test]
    fn the_last_days_end_now_and_begin_at_midnight_of_the_zone() {
        let told = window(&["2026-03-31T09:00:00Z"], "Europe/Berlin", "2026-04-01T10:00:00.75Z").unwrap();
        assert_eq!(told, ("2026-03-03T00:00:00+01:00".into(), "2026-04-01T12:00:01+02:00".into(), true));
    }

    #[test]
    fn the_first_moment_of_a_day_has_a_span_too() {
        let (_, to, _) = window(&["2026-03-31T09:00:00Z"], "UTC", "2026-04-01T00:00:00Z").unwrap();
        assert_eq!(to, "2026-04-01T00:00:01Z");
    }

    #[test]
    fn an_event_of_this_very_second_is_there() {
        let (_, to, ends_now) =
            window(&["2026-04-01T10:00:00.5Z"], "UTC", "2026-04-01T10:00:00.75Z").unwrap();
        assert_eq!((to.as_str(), ends_now), ("2026-04-01T10:00:01Z", true));
    }

    #[test]
    fn old_events_are_shown_where_they_end() {
        let told = window(&["2019-01-05T00:00:00Z", "2020-02-29T23:59:59Z"], "UTC", "2026-04-01T10:00:00Z");
        assert_eq!(told.unwrap(), ("2020-01-31T00:00:00Z".into(), "2020-03-01T00:00:00Z".into(), false));
        let told = window(&["2031-01-05T12:00:00Z"], "UTC", "2026-04-01T10:00:00Z").unwrap();
        assert_eq!(
            (told.1.as_str(), told.2),
            ("2031-01-06T00:00:00Z", false),
            "and so are those of the future"
        );
    }

    #[test]
    fn without_events_there_is_nothing_to_show() {
        assert_eq!(window(&[], "UTC", "2026-04-01T10:00:00Z"), None);
    }
}

//! How old an answer may be, for those who would rather have it at once than exact: classes by name, each with an age that
//! settings can change. Who asks for no class gets exact answers.

use std::time::Duration;

use crate::error::{Error, Result, nearest};
use crate::time::parse_duration;

/// One sort of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Class(u8);

/// A class as it is declared.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    /// Its name.
    pub name: &'static str,
    /// How old its answers may be; `None`: they are exact, whatever their age.
    pub max_age: Option<Duration>,
    /// What it is for, in one line.
    pub doc: &'static str,
}

const fn declared(name: &'static str, seconds: u64, doc: &'static str) -> Declared {
    Declared { name, max_age: Some(Duration::from_secs(seconds)), doc }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// All classes; the place in this list is the class.
pub const CLASSES: [Declared; 12] = [
    Declared { name: "exact", max_age: None, doc: "answers of the data as they are" },
    Declared { name: "parts", max_age: None, doc: "what questions have of sealed segments; exact" },
    declared("realtime", 30, "figures of the last minutes"),
    declared("trends_hour", 5 * MINUTE, "trends of hours"),
    declared("trends_day", 10 * MINUTE, "trends of days"),
    declared("trends_week", 15 * MINUTE, "trends of weeks"),
    declared("trends_month", 30 * MINUTE, "trends of months and longer"),
    declared("historical", 10 * MINUTE, "periods that are over"),
    declared("search", 30 * MINUTE, "searches"),
    declared("analytics", 15 * MINUTE, "analyses"),
    declared("reference", 24 * HOUR, "what hardly ever changes"),
    declared("statistics", 15 * MINUTE, "statistics"),
];

impl Class {
    /// Exact answers.
    pub const EXACT: Self = Self(0);
    /// What questions have of sealed segments.
    pub const PARTS: Self = Self(1);

    /// The class at a place of [`CLASSES`].
    pub fn at(place: usize) -> Self {
        Self(place.min(CLASSES.len() - 1) as u8)
    }

    /// The class that something was stored as.
    pub fn stored(name: &str) -> Self {
        CLASSES.iter().position(|class| class.name == name).map_or(Self::EXACT, Self::at)
    }

    /// The class of a name whose answers may be of some age.
    ///
    /// # Errors
    /// There is none, with the nearest one.
    pub fn named(name: &str) -> Result<Self> {
        let has_age = |class: &&Declared| class.max_age.is_some();
        let place = CLASSES.iter().position(|class| class.name == name && has_age(&class));
        place.map(Self::at).ok_or_else(|| {
            let names = CLASSES.iter().filter(has_age).map(|class| class.name);
            let all = names.clone().collect::<Vec<_>>().join(", ");
            Error::invalid(format!(
                "\"{name}\" is no class of answers; they are {all}{}",
                nearest(name, names)
            ))
        })
    }

    /// Its place among [`CLASSES`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        CLASSES.get(self.index()).map_or("", |class| class.name)
    }
}

/// How old the answers of each class may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes([Option<Duration>; CLASSES.len()]);

impl Default for Classes {
    fn default() -> Self {
        Self(CLASSES.map(|class| class.max_age))
    }
}

impl Classes {
    /// The ages of a setting: `realtime=10s, search=1h`.
    ///
    /// # Errors
    /// An unknown class, one whose answers are exact, and what is no span of time.
    pub fn read(text: &str) -> Result<Self> {
        let mut ages = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, age) = part.split_once('=').ok_or_else(|| {
                Error::invalid(format!("\"{part}\" names no age; write it as in realtime=10s, search=1h"))
            })?;
            let class = Class::named(name.trim())?;
            ages.0[class.index()] = Some(span(age.trim())?);
        }
        Ok(ages)
    }

    /// How old answers of a class may be; `None`: they are exact.
    pub fn max_age(&self, class: Class) -> Option<Duration> {
        self.0.get(class.index()).copied().flatten()
    }
}

/// A span of time: `30s`, `5m`, `24h`.
fn span(text: &str) -> Result<Duration> {
    let us = parse_duration(text).and_then(|us| u64::try_from(us).ok()).filter(|us| *us > 0);
    us.map(Duration::from_micros).ok_or_else(|| {
        Error::invalid(format!("\"{text}\" is no span of time; write one such as 30s, 5m, 24h"))
    })
}

/// What a question may say of stored answers, for messages.
pub const USES: &str = "is true, false, a span of time such as \"30s\", or a class of answers such as \"realtime\", with \
                        \"+5m\" behind it where older ones are welcome while they are computed anew";

/// What a question says of stored answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Use {
    /// Exact ones are welcome.
    #[default]
    Exact,
    /// None.
    Never,
    /// Those of a class, as old as that allows, and so much older while they are computed anew.
    Of(Class, Duration),
    /// Those that are no older, and so much older while they are computed anew.
    Within(Duration, Duration),
}

/// What stored answers are welcome, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The class that they are counted in.
    pub class: Class,
    /// How old an answer of another version may be.
    pub max_age: Option<Duration>,
    /// How much older one is welcome while it is computed anew.
    pub stale: Duration,
}

impl Use {
    /// Reads `true`, `false`, the name of a class, or a span of time; behind these `+` and another span.
    ///
    /// # Errors
    /// What is none of these.
    pub fn read(text: &str) -> Result<Self> {
        let (age, stale) = text.split_once('+').map_or((text, None), |(age, stale)| (age, Some(stale)));
        let read = || {
            let stale = stale.map_or(Ok(Duration::ZERO), span)?;
            match age {
                "true" | "false" if !stale.is_zero() => {
                    Err(Error::invalid(format!("\"{text}\" has no age that it could be older than")))
                }
                "true" => Ok(Self::Exact),
                "false" => Ok(Self::Never),
                _ if age.starts_with(|c: char| c.is_ascii_digit()) => Ok(Self::Within(span(age)?, stale)),
                name => Ok(Self::Of(Class::named(name)?, stale)),
            }
        };
        read().map_err(|e| Error::invalid(format!("cache {USES}: {e}")))
    }

    /// Whether stored answers are welcome at all.
    pub fn is_welcome(self) -> bool {
        self != Self::Never
    }

    /// Whether answers of some age are.
    pub fn takes_older(self) -> bool {
        matches!(self, Self::Of(..) | Self::Within(..))
    }

    /// What that comes to where classes have these ages.
    pub fn terms(self, classes: &Classes) -> Terms {
        let (class, max_age, stale) = match self {
            Self::Exact | Self::Never => (Class::EXACT, None, Duration::ZERO),
            Self::Of(class, stale) => (class, classes.max_age(class), stale),
            Self::Within(age, stale) => (Class::EXACT, Some(age), stale),
        };
        Terms { class, max_age, stale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_and_others_stay() {
        let ages = Classes::read("realtime=10s, search=1h").unwrap();
        assert_eq!(ages.max_age(Class::named("realtime").unwrap()), Some(Duration::from_secs(10)));
        assert_eq!(ages.max_age(Class::named("search").unwrap()), Some(Duration::from_secs(3_600)));
        assert_eq!(ages.max_age(Class::named("reference").unwrap()), Some(Duration::from_secs(86_400)));
        assert_eq!(ages.max_age(Class::EXACT), None);
        assert_eq!(Classes::read("").unwrap(), Classes::default());
    }

    #[test]
    fn what_is_no_age_of_a_class_is_told() {
        for (text, word) in [
            ("realtim=1s", "realtime"),
            ("search", "realtime=10s"),
            ("search=soon", "30s"),
            ("exact=1s", "exact"),
        ] {
            assert!(Classes::read(text).unwrap_err().to_string().contains(word), "{text}");
        }
    }

    #[test]
    fn a_question_says_what_it_takes() {
        assert_eq!(Use::read("true").unwrap(), Use::Exact);
        assert_eq!(Use::read("false").unwrap(), Use::Never);
        let seconds = Duration::from_secs;
        let search = Class::named("search").unwrap();
        assert_eq!(Use::read("5m").unwrap(), Use::Within(seconds(300), Duration::ZERO));
        assert_eq!(Use::read("5m+1h").unwrap(), Use::Within(seconds(300), seconds(3_600)));
        assert_eq!(Use::read("search").unwrap(), Use::Of(search, Duration::ZERO));
        assert_eq!(Use::read("search+30s").unwrap(), Use::Of(search, seconds(30)));
        for text in ["no", "", "-5s", "5", "serch", "true+5s", "5s+", "search+soon", "+5s"] {
            assert!(Use::read(text).unwrap_err().to_string().contains("is true, false"), "{text}");
        }
    }
}

//! What the terminal is, and whether what is printed to it has colours. Verbs that print tables and charts draw on a
//! [`Screen`]; everything under here but [`Screen::of`] is a pure function, so tests show whole drawings as text.

pub mod answer;
pub mod cells;
pub mod chart;
pub mod human;
pub mod table;
pub mod width;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use clap::ValueEnum;

/// What `--color` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColourWish {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// Into pipes and files too.
    Always,
    /// Nowhere.
    Never,
}

impl ColourWish {
    /// What a command line says that could not be parsed, or has not been yet: its errors and help are coloured too.
    ///
    /// ```
    /// use windrow::cli::terminal::ColourWish;
    /// let words = ["windrow", "--color", "never", "slq"].map(std::ffi::OsString::from);
    /// assert_eq!(ColourWish::of_words(&words), ColourWish::Never);
    /// ```
    pub fn of_words(words: &[OsString]) -> Self {
        let words: Vec<Cow<'_, str>> = words.iter().map(|word| word.to_string_lossy()).collect();
        let at = words.iter().position(|word| word == "--color");
        let named = at.and_then(|at| words.get(at + 1)).map(|word| &**word);
        let named = named.or_else(|| words.iter().find_map(|word| word.strip_prefix("--color=")));
        named.and_then(|name| Self::from_str(name, false).ok()).unwrap_or_default()
    }

    /// The same in the words of the parser of the command line.
    pub fn for_help(self) -> clap::ColorChoice {
        match self {
            Self::Auto => clap::ColorChoice::Auto,
            Self::Always => clap::ColorChoice::Always,
            Self::Never => clap::ColorChoice::Never,
        }
    }

    /// Whether an output has colours. `NO_COLOR` and `CLICOLOR_FORCE` count where they are not empty, as on
    /// <https://no-color.org> and <https://bixense.com/clicolors>.
    fn is_granted(self, is_terminal: bool, environment: &dyn Fn(&str) -> Option<OsString>) -> bool {
        let says = |name| environment(name).is_some_and(|value| !value.is_empty());
        let forced = environment("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if says("NO_COLOR") => false,
            Self::Auto => forced || (is_terminal && environment("TERM").is_some_and(|term| term != "dumb")),
        }
    }
}

/// What a part of a drawing is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// The head of a column or a chart.
    Head,
    /// Nulls, rules, rows of gaps.
    Faint,
    /// A bar of a chart.
    Bar,
    /// A bar of a partial bucket.
    FaintBar,
    /// What went wrong.
    Error,
}

/// Puts colours to texts, or leaves them as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paint {
    /// Whether there are colours.
    pub has_colours: bool,
}

impl Paint {
    /// The text in the colour of its style.
    pub fn text<'a>(self, style: Option<Style>, text: &'a str) -> Cow<'a, str> {
        let Some(style) = style.filter(|_| self.has_colours && !text.is_empty()) else {
            return Cow::Borrowed(text);
        };
        let code = match style {
            Style::Head => "1",
            Style::Faint => "2",
            Style::Bar => "36",
            Style::FaintBar => "2;36",
            Style::Error => "1;31",
        };
        Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
    }
}

/// Columns and lines of a terminal that are drawn on, at most.
const CELLS_MAX: usize = 1_000;

/// What is drawn on. The default is a file or a pipe: without end to the right, without colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Screen {
    /// Columns of the terminal; `None` where there is none.
    pub columns: Option<usize>,
    /// Lines of the terminal; `None` where there is none.
    pub lines: Option<usize>,
    /// Its colours.
    pub paint: Paint,
}

impl Screen {
    /// What an output of this process is.
    pub fn of(output: &(impl IsTerminal + AsFd), wish: ColourWish) -> Self {
        let is_terminal = output.is_terminal();
        let has_colours = wish.is_granted(is_terminal, &|name| std::env::var_os(name));
        let size = rustix::termios::tcgetwinsize(output).ok().filter(|_| is_terminal);
        // a terminal that does not know its size says 0, or says anything: drawings grow with both
        let known = |count: u16| (count > 0).then_some(usize::from(count).min(CELLS_MAX));
        Self {
            columns: size.and_then(|size| known(size.ws_col)),
            lines: size.and_then(|size| known(size.ws_row)),
            paint: Paint { has_colours },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_unless_somebody_says_otherwise() {
        type Environment = &'static [(&'static str, &'static str)];
        let xterm: Environment = &[("TERM", "xterm")];
        let cases: [(ColourWish, bool, Environment, bool); 12] = [
            (ColourWish::Auto, true, xterm, true),
            (ColourWish::Auto, false, xterm, false),
            (ColourWish::Auto, true, &[("TERM", "dumb")], false),
            (ColourWish::Auto, true, &[], false),
            (ColourWish::Auto, true, &[("TERM", "xterm"), ("NO_COLOR", "1")], false),
            (ColourWish::Auto, true, &[("TERM", "xterm"), ("NO_COLOR", "")], true),
            (ColourWish::Auto, false, &[("CLICOLOR_FORCE", "1")], true),
            (ColourWish::Auto, false, &[("CLICOLOR_FORCE", "0")], false),
            (ColourWish::Auto, false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
            (ColourWish::Always, false, &[("NO_COLOR", "1")], true),
            (ColourWish::Never, true, xterm, false),
            (ColourWish::Never, true, &[("CLICOLOR_FORCE", "1")], false),
        ];
        for (wish, is_terminal, environment, granted) in cases {
            let value = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, v)| v.into());
            assert_eq!(
                wish.is_granted(is_terminal, &value),
                granted,
                "{wish:?} {is_terminal} {environment:?}"
            );
        }
    }

    #[test]
    fn the_wish_is_found_before_the_command_line_is_read() {
        let wish =
            |line: &str| ColourWish::of_words(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(wish("windrow --color=always slq"), ColourWish::Always);
        assert_eq!(wish("windrow slq --color never"), ColourWish::Never);
        assert_eq!(wish("windrow --color purple"), ColourWish::Auto);
        assert_eq!(wish("windrow --color"), ColourWish::Auto);
    }

    #[test]
    fn paint_leaves_no_colour_behind_and_none_where_there_is_none() {
        let colours = Paint { has_colours: true };
        assert_eq!(colours.text(Some(Style::Head), "a"), "\x1b[1ma\x1b[0m");
        assert_eq!((colours.text(None, "a"), colours.text(Some(Style::Head), "")), ("a".into(), "".into()));
        assert_eq!(Paint::default().text(Some(Style::Error), "a"), "a");
    }
}

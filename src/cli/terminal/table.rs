//! The one table of the command line: aligned by what is seen, numbers to the right, no wider than the terminal. Verbs
//! put cells in; `answer` does it for what a question has as its answer.

use std::borrow::Cow;

use super::width::{columns, cut, harmless};
use super::{Paint, Screen, Style};

/// Columns between two columns.
const GAP: usize = 2;
/// A text column is not made narrower than this; a table that does not fit then is written record by record.
const NARROWEST: usize = 8;
/// Before the fields of a record.
const INDENT: usize = 2;

/// Rows under heads, and what is to be said below them.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// What stands above.
    pub heads: Vec<Head>,
    /// A cell a head each.
    pub rows: Vec<Row>,
    /// Lines below.
    pub notes: Vec<String>,
    /// Cells are cut there, also where there is no terminal; `None` leaves them whole.
    pub cell_columns_max: Option<usize>,
    /// Where cells that are cut can be had whole, as `--json`.
    pub whole_with: &'static str,
    /// Whether it is one of a chart: without a rule under the heads and without the number of rows.
    pub is_bare: bool,
}

/// The head of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its text.
    pub text: String,
    /// Whether the column stands to the right, as numbers do.
    pub is_right: bool,
}

/// A row.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Its cells.
    pub cells: Vec<Cell>,
    /// Whether all of it is faint, as gaps are.
    pub is_faint: bool,
}

/// A cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    /// Its text.
    pub text: String,
    /// Whether it must not be cut, as numbers and times: a part of them says something else.
    pub is_exact: bool,
    /// Its colour.
    pub style: Option<Style>,
}

impl Head {
    /// Of a column of texts.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_right: false }
    }

    /// Of a column of numbers.
    pub fn number(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_right: true }
    }
}

impl Cell {
    /// A text, which may be cut.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A number or a time.
    pub fn exact(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_exact: true, style: None }
    }
}

impl From<Vec<Cell>> for Row {
    fn from(cells: Vec<Cell>) -> Self {
        Self { cells, is_faint: false }
    }
}

impl Table {
    /// A table without rows.
    pub fn new(heads: impl Into<Vec<Head>>, whole_with: &'static str) -> Self {
        Self { heads: heads.into(), whole_with, ..Self::default() }
    }

    /// The table as text. Control characters are written as escapes.
    ///
    /// ```
    /// use windrow::cli::terminal::{Screen, table::{Cell, Head, Table}};
    /// let mut table = Table::new([Head::text("path"), Head::number("n")], "--json");
    /// table.rows.push(vec![Cell::text("/docs"), Cell::exact("12")].into());
    /// assert_eq!(table.write(&Screen::default()), "path    n\n-----  --\n/docs  12\n(1 row)\n");
    /// ```
    pub fn write(&self, screen: &Screen) -> String {
        let mut grid = Grid::of(self);
        let natural = grid.widths();
        let least: Vec<usize> =
            (0..natural.len()).map(|at| grid.exact_width(at).max(natural[at].min(NARROWEST))).collect();
        let mut out = match screen.columns.map(|most| fit(&natural, &least, most)) {
            None => grid.lines(&natural, self, screen.paint),
            Some(Some(widths)) => grid.lines(&widths, self, screen.paint),
            Some(None) => grid.records(screen),
        };
        if !self.is_bare {
            out.push_str(&match self.rows.len() {
                1 => "(1 row)\n".to_owned(),
                count => format!("({count} rows)\n"),
            });
        }
        for note in &self.notes {
            out.push_str(note);
            out.push('\n');
        }
        let whole_with = self.whole_with;
        match (grid.is_cut_to_screen, self.cell_columns_max.filter(|_| grid.is_cut)) {
            (true, _) => {
                out.push_str(&format!("cells are cut to fit the terminal; {whole_with} has them whole\n"))
            }
            (_, Some(most)) => {
                out.push_str(&format!("cells over {most} characters are cut; {whole_with} has them whole\n"));
            }
            _ => {}
        }
        out
    }
}

/// The cells of a row with their texts.
type Shown<'a> = Vec<(Cow<'a, str>, &'a Cell)>;

/// A table whose texts are harmless and of the length they may have.
struct Grid<'a> {
    heads: Vec<(Cow<'a, str>, bool)>,
    rows: Vec<(Shown<'a>, bool)>,
    is_cut: bool,
    is_cut_to_screen: bool,
}

impl<'a> Grid<'a> {
    fn of(table: &'a Table) -> Self {
        let mut is_cut = false;
        let heads = table.heads.iter().map(|head| (harmless(&head.text), head.is_right)).collect();
        let mut shown = |cell: &'a Cell| {
            let text = harmless(&cell.text);
            let most = table.cell_columns_max.filter(|_| !cell.is_exact);
            let Some(most) = most.filter(|most| columns(&text) > *most) else { return (text, cell) };
            is_cut = true;
            (Cow::Owned(cut(&text, most).into_owned()), cell)
        };
        let row = |row: &'a Row| (row.cells.iter().map(&mut shown).collect(), row.is_faint);
        let rows = table.rows.iter().map(row).collect();
        Self { heads, rows, is_cut, is_cut_to_screen: false }
    }

    fn widths(&self) -> Vec<usize> {
        let of = |at: usize, head: &str| {
            let cells = self.rows.iter().filter_map(|(cells, _)| cells.get(at));
            cells.map(|(text, _)| columns(text)).fold(columns(head), usize::max)
        };
        self.heads.iter().enumerate().map(|(at, (head, _))| of(at, head)).collect()
    }

    /// The width of the widest cell of a column that must not be cut.
    fn exact_width(&self, at: usize) -> usize {
        let cells = self.rows.iter().filter_map(|(cells, _)| cells.get(at));
        cells.filter(|(_, cell)| cell.is_exact).map(|(text, _)| columns(text)).max().unwrap_or(0)
    }

    fn lines(&mut self, widths: &[usize], table: &Table, paint: Paint) -> String {
        let mut out = String::new();
        let mut is_cut = false;
        let mut line = |cells: &mut dyn Iterator<Item = (&str, Option<Style>)>| {
            let mut blank = 0;
            for (((text, style), width), (_, is_right)) in cells.zip(widths).zip(&self.heads) {
                let shown = cut(text, *width);
                is_cut |= shown != text;
                let pad = width - columns(&shown).min(*width);
                blank += if *is_right { pad } else { 0 };
                // blanks are written once something follows them: no line ends in blanks
                if !shown.is_empty() {
                    out.push_str(&" ".repeat(blank));
                    out.push_str(&paint.text(style, &shown));
                    blank = 0;
                }
                blank += GAP + if *is_right { 0 } else { pad };
            }
            out.push('\n');
        };
        line(&mut self.heads.iter().map(|(head, _)| (&**head, Some(Style::Head))));
        if !table.is_bare {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            line(&mut rules.iter().map(|rule| (rule.as_str(), Some(Style::Faint))));
        }
        for (cells, is_faint) in &self.rows {
            let faint = is_faint.then_some(Style::Faint);
            line(&mut cells.iter().map(|(text, cell)| (&**text, cell.style.or(faint))));
        }
        self.is_cut_to_screen = is_cut;
        out
    }

    /// A record a row, a field a line: for more columns than the terminal has room for.
    fn records(&mut self, screen: &Screen) -> String {
        let width = screen.columns.unwrap_or(usize::MAX);
        let names = self.heads.iter().map(|(head, _)| columns(head)).max().unwrap_or(0);
        let names = names.min((width / 3).max(NARROWEST));
        let room = width.saturating_sub(INDENT + names + GAP).max(NARROWEST);
        let mut out = String::new();
        for (number, (cells, is_faint)) in self.rows.iter().enumerate() {
            out.push_str(&screen.paint.text(Some(Style::Faint), &format!("row {}", number + 1)));
            out.push('\n');
            for ((text, cell), (head, _)) in cells.iter().zip(&self.heads) {
                let head = cut(head, names);
                let shown = if cell.is_exact { Cow::Borrowed(&**text) } else { cut(text, room) };
                self.is_cut_to_screen |= shown != *text;
                out.push_str(&" ".repeat(INDENT));
                out.push_str(&screen.paint.text(Some(Style::Head), &head));
                if !shown.is_empty() {
                    out.push_str(&" ".repeat(names + GAP - columns(&head)));
                    out.push_str(&screen.paint.text(cell.style.or(is_faint.then_some(Style::Faint)), &shown));
                }
                out.push('\n');
            }
        }
        out
    }
}

/// The widths of columns whose sum fits: the widest give first, none gets narrower than its least. `None` where that
/// does not do.
fn fit(natural: &[usize], least: &[usize], columns_max: usize) -> Option<Vec<usize>> {
    let gaps = GAP * natural.len().saturating_sub(1);
    let capped = |cap: usize| -> Vec<usize> {
        natural.iter().zip(least).map(|(natural, least)| *natural.min(&cap.max(*least))).collect()
    };
    let room = |widths: &[usize]| columns_max.checked_sub(gaps + widths.iter().sum::<usize>());
    let widest = natural.iter().copied().max().unwrap_or(0);
    let cap = (0..=widest).rev().find(|cap| room(&capped(*cap)).is_some())?;
    let mut widths = capped(cap);
    let mut left = room(&widths)?;
    // what is left over by a cap that is the same for all goes to the first of those that gave
    for (width, natural) in widths.iter_mut().zip(natural) {
        let is_given = usize::from(left > 0 && *width < *natural);
        *width += is_given;
        left -= is_given;
    }
    Some(widths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(heads: &[&str], rows: &[&[&str]]) -> Table {
        let is_number = |at: usize| rows.iter().all(|row| row[at].parse::<f64>().is_ok());
        let head = |(at, head): (usize, &&str)| Head { text: (*head).to_owned(), is_right: is_number(at) };
        let mut table = Table::new(heads.iter().enumerate().map(head).collect::<Vec<_>>(), "--json");
        let cell = |text: &&str| match text.parse::<f64>() {
            Ok(_) => Cell::exact(*text),
            Err(_) => Cell::text(*text),
        };
        table.rows = rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().into()).collect();
        table
    }

    fn on(columns: usize) -> Screen {
        Screen { columns: Some(columns), ..Screen::default() }
    }

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let table = table(
            &["city", "n", "note"],
            &[&["東京", "12", "x"], &["e\u{301}te\u{301}", "1234.5", ""], &["👍\u{1b}[1m", "1", "y"]],
        );
        let lines = [
            "city              n  note",
            "-----------  ------  ----",
            "東京             12  x",
            "e\u{301}te\u{301}          1234.5",
            "👍\\u{1b}[1m       1  y",
            "(3 rows)",
        ];
        let written = table.write(&Screen::default());
        assert_eq!(written.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_table_wider_than_the_terminal_gives_where_texts_are_widest() {
        let table = table(
            &["path", "title", "count(*)"],
            &[&["/docs/installation/linux", "How to install it", "1234567890"], &["/", "Home", "1"]],
        );
        let expected = "\
path            title             count(*)
--------------  --------------  ----------
/docs/install…  How to instal…  1234567890
/               Home                     1
(2 rows)
cells are cut to fit the terminal; --json has them whole
";
        assert_eq!(table.write(&on(42)), expected);
        let whole = table.write(&on(55));
        assert!(whole.contains("/docs/installation/linux  How to install it  1234567890"), "{whole}");
        assert!(!whole.contains("are cut"), "{whole}");
    }

    #[test]
    fn numbers_are_never_cut_but_their_heads_may_be() {
        let table = table(&["quantile(duration_ms, 0.95)", "b"], &[&["1234567890123", "x"]]);
        let expected = "\
quantile(durat…  b
---------------  -
  1234567890123  x
(1 row)
cells are cut to fit the terminal; --json has them whole
";
        assert_eq!(table.write(&on(18)), expected);
    }

    #[test]
    fn too_many_columns_are_written_as_records() {
        let table = table(
            &["country", "duration_ms_of_all", "path"],
            &[&["DE", "123456789", "/docs/installation"], &["FR", "1", ""]],
        );
        let expected = "\
row 1
  country   DE
  duratio…  123456789
  path      /docs/i…
row 2
  country   FR
  duratio…  1
  path
(2 rows)
cells are cut to fit the terminal; --json has them whole
";
        assert_eq!(table.write(&on(20)), expected);
    }

    #[test]
    fn cells_have_a_longest_length_and_a_table_says_what_was_cut() {
        let mut table = table(&["a"], &[&["ü".repeat(80).as_str()]]);
        table.cell_columns_max = Some(80);
        assert!(!table.write(&Screen::default()).contains("are cut"));
        table.rows[0].cells[0].text.push('ü');
        let written = table.write(&Screen::default());
        assert!(written.contains(&format!("\n{}…\n", "ü".repeat(79))), "{written}");
        assert!(written.ends_with("cells over 80 characters are cut; --json has them whole\n"), "{written}");
    }

    #[test]
    fn colours_change_nothing_of_the_alignment() {
        let mut table = table(&["a", "b"], &[&["x", "1"], &["null", "22"]]);
        table.rows[1].cells[0].style = Some(Style::Faint);
        table.rows[0].is_faint = true;
        let plain = table.write(&Screen::default());
        let screen = Screen { paint: Paint { has_colours: true }, ..Screen::default() };
        let coloured = table.write(&screen);
        assert!(coloured.starts_with("\x1b[1ma\x1b[0m      \x1b[1mb\x1b[0m\n"), "{coloured:?}");
        assert!(coloured.contains("\x1b[2mx\x1b[0m      \x1b[2m1\x1b[0m\n"), "{coloured:?}");
        let codes = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap();
        assert_eq!(codes.replace_all(&coloured, ""), plain);
    }

    #[test]
    fn every_width_is_kept_to() {
        let table = table(
            &["n", "some words", "another"],
            &[
                &["12", "日本語のテキスト in a row of words", "short"],
                &["123456", "x", "a longer text 👍👍👍"],
            ],
        );
        for width in 26..90 {
            let written = table.write(&on(width));
            for line in written.lines().take_while(|line| !line.starts_with('(')) {
                assert!(columns(line) <= width, "{width}: {line}");
            }
            assert!(written.contains("123456"));
        }
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(table(&["a"], &[]).write(&on(80)), "a\n-\n(0 rows)\n");
    }
}

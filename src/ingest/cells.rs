//! What the cells of a CSV column are: numbers, true and false, or text. A column is read in one way throughout, told
//! from its first cells, so that `007` keeps its zeros in all rows or in none. `csv_rows` shows [`Evidence`] the sample
//! and reads all cells by the [`Reading`]s that come of it.
//!
//! Numbers with a decimal comma are believed where nothing else could be meant: the cells of the file are not separated
//! by commas, every cell of the column reads as such a number, and one at least can be nothing else. `1,234` can be a
//! thousand, so it is no proof. In a file with such columns a point may stand between thousands, so elsewhere `1.234` is
//! text unless its column has numbers such as `0.5`.

use std::net::Ipv4Addr;

use crate::columnar::builder::Cell;
use crate::ingest::dialect::DecimalComma;

/// What may stand between the groups of three digits of a number with a decimal comma.
const GROUP_MARKS: [char; 4] = ['.', ' ', '\u{a0}', '\u{202f}'];

/// Columns that notes name.
const NAMED: usize = 10;

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CellKind {
    /// The sample had no cell here: each is read as what it looks like.
    #[default]
    Unknown,
    /// A number, whole or broken.
    Number,
    /// True or false.
    Bool,
    /// Text, as it is.
    Text,
}

/// How numbers are written in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberForm {
    /// As in JSON: `1234.5`.
    Point,
    /// `1234,5`, `1.234,5` or `1 234,5`.
    Comma,
    /// Without a point, since one could stand between thousands.
    Whole,
}

/// How the cells of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// As what.
    pub kind: CellKind,
    /// Where they are numbers.
    pub form: NumberForm,
}

/// What the cells of a column have shown so far.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The kind of them all, where numbers have a point.
    with_point: CellKind,
    /// The kind of them all, where numbers have a comma.
    with_comma: CellKind,
    /// One is a number with a decimal comma and nothing else.
    has_comma: bool,
    /// One is a number with a decimal point and nothing else.
    has_point: bool,
    /// The first whose mark could be that of decimals or of thousands.
    ambiguous: Option<String>,
}

impl Evidence {
    /// Looks at one more cell.
    pub fn see(&mut self, cell: &str, decimal_comma: DecimalComma) {
        self.with_point = self.with_point.with(cell, NumberForm::Point);
        if decimal_comma == DecimalComma::Never {
            return;
        }
        self.with_comma = self.with_comma.with(cell, NumberForm::Comma);
        let is_ambiguous = is_thousands(cell);
        self.has_comma |= !is_ambiguous && cell.contains(',') && comma_number(cell).is_some();
        self.has_point |= !is_ambiguous && cell.contains('.') && number(cell).is_some();
        if is_ambiguous && self.ambiguous.is_none() {
            self.ambiguous = Some(cell.to_owned());
        }
    }

    /// All cells are numbers, and their decimal mark is the comma.
    fn is_decimal_comma(&self) -> bool {
        self.with_comma == CellKind::Number && self.has_comma
    }
}

/// The readings of all columns of a file.
pub fn readings(columns: &[Evidence], decimal_comma: DecimalComma) -> Vec<Reading> {
    let has_commas = columns.iter().any(Evidence::is_decimal_comma);
    let reading = |column: &Evidence| match decimal_comma {
        DecimalComma::Never => Reading { kind: column.with_point, form: NumberForm::Point },
        DecimalComma::Everywhere => Reading { kind: column.with_comma, form: NumberForm::Comma },
        DecimalComma::Detected if column.is_decimal_comma() => {
            Reading { kind: CellKind::Number, form: NumberForm::Comma }
        }
        DecimalComma::Detected => {
            let form = match (column.has_comma, column.has_point) {
                // the kind is text then, but a declaration may say otherwise
                (true, false) => NumberForm::Comma,
                (false, false) if has_commas => NumberForm::Whole,
                _ => NumberForm::Point,
            };
            let is_doubtful = form == NumberForm::Whole && column.ambiguous.is_some();
            Reading { kind: if is_doubtful { CellKind::Text } else { column.with_point }, form }
        }
    };
    columns.iter().map(reading).collect()
}

/// What the user should know of numbers with a comma: the columns that have them, and those that may have.
pub fn notes(names: &[String], columns: &[Evidence], decimal_comma: DecimalComma) -> Vec<String> {
    if decimal_comma != DecimalComma::Detected {
        return Vec::new();
    }
    let found: Vec<&str> = names
        .iter()
        .zip(columns)
        .filter(|(_, column)| column.is_decimal_comma())
        .map(|(name, _)| name.as_str())
        .collect();
    let mut notes = Vec::new();
    if !found.is_empty() {
        let named = found.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = found.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more columns") } else { String::new() };
        notes.push(format!("numbers with a decimal comma in {named}{more}"));
    }
    let is_doubtful = |column: &Evidence, cell: &str| {
        let is_proven = column.has_comma || column.has_point || column.with_comma != CellKind::Number;
        !is_proven && (cell.contains(',') || !found.is_empty())
    };
    let is_point = |column: &Evidence| {
        found.is_empty() && column.with_point == CellKind::Number && !columns.iter().any(|any| any.has_point)
    };
    let doubtful = names.iter().zip(columns).filter_map(|(name, column)| {
        column.ambiguous.as_ref().filter(|cell| is_doubtful(column, cell)).map(|cell| (name, cell))
    });
    for (name, cell) in doubtful.take(NAMED) {
        let digits: String = cell.chars().filter(|c| !matches!(c, ',' | '.')).collect();
        let decimal = cell.replace(',', ".");
        notes.push(format!(
            "\"{name}\" stays text, because {cell} may be {digits} or {decimal}; --decimal-comma reads all numbers as in 1.234,56"
        ));
    }
    let points = names.iter().zip(columns).filter(|(_, column)| is_point(column));
    let points = points.filter_map(|(name, column)| Some((name, column.ambiguous.as_ref()?)));
    for (name, cell) in points.take(NAMED) {
        let digits = cell.replace('.', "");
        notes.push(format!(
            "\"{name}\" has numbers such as {cell}, read with a decimal point; if {digits} is meant, --decimal-comma reads all numbers as in 1.234,56"
        ));
    }
    notes
}

impl CellKind {
    /// The kind of a column that has been of this kind and has one more cell.
    fn with(self, cell: &str, form: NumberForm) -> Self {
        if cell.is_empty() || self == Self::Text {
            return self;
        }
        let kind = if form.number(cell).is_some() {
            Self::Number
        } else if boolean(cell).is_some() {
            Self::Bool
        } else {
            Self::Text
        };
        if self == Self::Unknown || self == kind { kind } else { Self::Text }
    }
}

impl Reading {
    /// A cell as what it is; text where it is none of that.
    pub fn read(self, cell: &str) -> Cell<'_> {
        let found = match self.kind {
            CellKind::Text => None,
            CellKind::Number => self.form.number(cell),
            CellKind::Bool => boolean(cell),
            CellKind::Unknown => self.form.number(cell).or_else(|| boolean(cell)),
        };
        found.unwrap_or(Cell::Text(cell))
    }
}

impl NumberForm {
    fn number(self, cell: &str) -> Option<Cell<'static>> {
        match self {
            Self::Point => number(cell),
            Self::Comma => comma_number(cell),
            Self::Whole => number(cell).filter(|_| !cell.contains('.')),
        }
    }
}

/// A whole number that prints as it was written, or a finite decimal one. Leading zeros, a plus, spaces and whole
/// numbers beyond 64 bits make it text: such cells are codes, and a number would lose what they say.
fn number(cell: &str) -> Option<Cell<'static>> {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let bytes = digits.as_bytes();
    let first = *bytes.first()?;
    if !(first.is_ascii_digit() || first == b'.')
        || first == b'0' && bytes.get(1).is_some_and(u8::is_ascii_digit)
    {
        return None;
    }
    if bytes.iter().all(u8::is_ascii_digit) {
        return if cell == "-0" { None } else { cell.parse().ok().map(Cell::Int) };
    }
    let plain = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    let ends_in_digit = bytes.last().is_some_and(u8::is_ascii_digit);
    if !ends_in_digit || !bytes.iter().all(plain) {
        return None;
    }
    cell.parse().ok().filter(|n: &f64| n.is_finite()).map(Cell::Float)
}

/// The same with a decimal comma; groups of three digits may be parted by points or spaces. 192.168.178.123 is an
/// address, although its groups have three digits.
fn comma_number(cell: &str) -> Option<Cell<'static>> {
    let (sign, digits) = cell.strip_prefix('-').map_or(("", cell), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once(',').map_or((digits, None), |(w, f)| (w, Some(f)));
    if fraction.is_some_and(|fraction| fraction.contains(',') || fraction.contains('.')) {
        return None;
    }
    if fraction.is_none() && digits.parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    let whole = match whole.find(GROUP_MARKS) {
        Some(_) => ungrouped(whole)?,
        None => whole.to_owned(),
    };
    match fraction {
        None => number(&format!("{sign}{whole}")),
        Some(fraction) => number(&format!("{sign}{whole}.{fraction}")),
    }
}

/// The digits of a number whose groups are all parted by the same mark, `None` where they are none.
fn ungrouped(whole: &str) -> Option<String> {
    let mark = whole.chars().find(|c| GROUP_MARKS.contains(c))?;
    let mut groups = whole.split(mark);
    let is_digits = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    let first =
        groups.next().filter(|g| (1..=3).contains(&g.len()) && is_digits(g) && !g.starts_with('0'))?;
    let mut digits = first.to_owned();
    for group in groups {
        if group.len() != 3 || !is_digits(group) {
            return None;
        }
        digits.push_str(group);
    }
    Some(digits)
}

/// Whether a cell is written as a number with one mark that may part thousands: `1,234`, `12.345`.
fn is_thousands(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let Some((first, rest)) = digits.split_once([',', '.']) else { return false };
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    (1..=3).contains(&first.len())
        && rest.len() == 3
        && !first.starts_with('0')
        && is_digits(first)
        && is_digits(rest)
}

fn boolean(cell: &str) -> Option<Cell<'static>> {
    if cell.eq_ignore_ascii_case("true") {
        return Some(Cell::Bool(true));
    }
    cell.eq_ignore_ascii_case("false").then_some(Cell::Bool(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_prints_back_the_same_or_decimal() {
        for text in ["0", "-1", "42", "9223372036854775807", "-9223372036854775808"] {
            assert!(matches!(number(text), Some(Cell::Int(n)) if n.to_string() == text), "{text}");
        }
        for (text, value) in
            [("1.5", 1.5), ("-0.25", -0.25), (".5", 0.5), ("1e3", 1000.0), ("1.0", 1.0), ("2E-2", 0.02)]
        {
            assert_eq!(number(text), Some(Cell::Float(value)), "{text}");
        }
        let texts = [
            "007",
            "+1",
            "-0",
            "00.5",
            "1.",
            "",
            "-",
            ".",
            "1e",
            "e5",
            "--1",
            "1-2",
            "1.2.3",
            "0x10",
            "1_000",
            " 1",
            "1 ",
            "1,5",
            "inf",
            "nan",
            "NaN",
            "-inf",
            "infinity",
            "1e400",
            "9223372036854775808",
            "2026-01-01",
            "12:30",
            "٣",
        ];
        for text in texts {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_with_a_comma_are_as_strict() {
        for (text, value) in [
            ("12,50", 12.5),
            ("-0,25", -0.25),
            (",5", 0.5),
            ("1,5E+03", 1500.0),
            ("1,234", 1.234),
            ("1.234,56", 1234.56),
            ("-1.234.567,89", -1_234_567.89),
            ("1 234,56", 1234.56),
            ("1\u{a0}234\u{202f}".trim_end_matches('\u{202f}'), 1234.0),
            ("12\u{202f}345,0", 12345.0),
        ] {
            let found = comma_number(text);
            let same = match found {
                Some(Cell::Float(n)) => n == value,
                Some(Cell::Int(n)) => n as f64 == value,
                _ => false,
            };
            assert!(same, "{text}: {found:?}");
        }
        assert_eq!(comma_number("1.234.567"), Some(Cell::Int(1_234_567)));
        assert_eq!(comma_number("7"), Some(Cell::Int(7)));
        let texts = [
            "007,5",
            "00,5",
            "5,",
            ",",
            "-",
            "",
            "1,2,3",
            "1,234,567",
            "1,5.2",
            "12.5",
            "1.2.3",
            "1.23,5",
            "1234.567,8",
            "0.123,5",
            "012.345",
            "1.234 567,8",
            "1 23,5",
            " 1,5",
            "1,5 ",
            "+1,5",
            "1,5 €",
            "31.12.2026",
            "1,-5",
            "1.,5",
            "192.168.178.123",
            "a,b",
            "1,inf",
        ];
        for text in texts {
            assert_eq!(comma_number(text), None, "{text}");
        }
    }

    fn told(columns: &[&[&str]], decimal_comma: DecimalComma) -> (Vec<Reading>, Vec<String>) {
        let see = |cells: &&[&str]| {
            let mut evidence = Evidence::default();
            cells.iter().for_each(|cell| evidence.see(cell, decimal_comma));
            evidence
        };
        let columns: Vec<Evidence> = columns.iter().map(see).collect();
        let names: Vec<String> = (0..columns.len()).map(|n| format!("c{n}")).collect();
        (readings(&columns, decimal_comma), notes(&names, &columns, decimal_comma))
    }

    #[test]
    fn a_column_is_of_the_kind_of_all_its_cells() {
        for decimal_comma in [DecimalComma::Never, DecimalComma::Detected, DecimalComma::Everywhere] {
            let kind = |cells: &[&str]| told(&[cells], decimal_comma).0[0].kind;
            assert_eq!(kind(&["1", "", "2"]), CellKind::Number);
            assert_eq!(kind(&["1", "007"]), CellKind::Text);
            assert_eq!(kind(&["true", "FALSE"]), CellKind::Bool);
            assert_eq!(kind(&["true", "1"]), CellKind::Text);
            assert_eq!(kind(&["", ""]), CellKind::Unknown);
            assert_eq!(kind(&["1", "1.5"]) == CellKind::Number, decimal_comma != DecimalComma::Everywhere);
        }
    }

    #[test]
    fn a_decimal_comma_is_believed_where_nothing_else_can_be_meant() {
        let is_comma = |cells: &[&str], decimal_comma| {
            let reading = told(&[cells], decimal_comma).0[0];
            reading == Reading { kind: CellKind::Number, form: NumberForm::Comma }
        };
        let detected = |cells: &[&str]| is_comma(cells, DecimalComma::Detected);
        assert!(detected(&["12,50", "", "7", "1.234,5", "1.000"]));
        assert!(detected(&["0,125"]) && detected(&["1,234", "1,2"]) && detected(&["1234,567"]));
        for cells in [
            // whole numbers alone, and what may be thousands
            &["1", "2"][..],
            &["1,234", "12,500"],
            // a version, a date, a list, a code, an address among them
            &["1,5", "1.2.3"],
            &["1,5", "31.12.2026"],
            &["1,2", "1,2,3"],
            &["1,5", "007"],
            &["1,5", "192.168.178.123"],
            &["1,5", "1.5"],
            &["1,5", "n/a"],
        ] {
            assert!(!detected(cells), "{cells:?}");
        }
        assert!(!is_comma(&["12,50"], DecimalComma::Never));
        assert!(is_comma(&["1,234", "7"], DecimalComma::Everywhere));
    }

    #[test]
    fn beside_decimal_commas_a_lone_point_is_in_doubt() {
        let columns: [&[&str]; 5] = [&["12,50"], &["1.234", "5"], &["52.52", "13.405"], &["1", "2"], &[]];
        let (readings, notes) = told(&columns, DecimalComma::Detected);
        let forms: Vec<NumberForm> = readings.iter().map(|reading| reading.form).collect();
        let (whole, point) = (NumberForm::Whole, NumberForm::Point);
        assert_eq!(forms, [NumberForm::Comma, whole, point, whole, whole]);
        assert_eq!((readings[1].kind, readings[2].kind), (CellKind::Text, CellKind::Number));
        // beyond the sample: no thousand is taken for one and a bit
        assert_eq!(readings[3].read("1.234"), Cell::Text("1.234"));
        assert_eq!((readings[3].read("3"), readings[4].read("3")), (Cell::Int(3), Cell::Int(3)));
        assert_eq!(readings[0].read("none"), Cell::Text("none"));
        assert_eq!(notes[0], "numbers with a decimal comma in c0");
        assert!(notes[1].starts_with("\"c1\" stays text, because 1.234 may be 1234 or 1.234;"), "{notes:?}");
        assert_eq!(notes.len(), 2);
        // without any, points are those of JSON
        let (readings, notes) = told(&columns[1..], DecimalComma::Detected);
        assert!(readings.iter().all(|reading| reading.form == point) && notes.is_empty(), "{notes:?}");
    }

    #[test]
    fn points_that_may_all_be_thousands_are_noted() {
        let (readings, notes) = told(&[&["1.234", "12.345"], &["1"]], DecimalComma::Detected);
        assert_eq!(readings[0].read("1.234"), Cell::Float(1.234));
        assert!(
            notes[0].starts_with("\"c0\" has numbers such as 1.234, read with a decimal point; if 1234 is")
        );
        assert_eq!(notes.len(), 1);
        for columns in [&[&["1.234", "1.5"][..]][..], &[&["1.234"], &["0.5"]], &[&["1.234", "1.2.3"]]] {
            assert_eq!(told(columns, DecimalComma::Detected).1, Vec::<String>::new(), "{columns:?}");
        }
        assert_eq!(told(&[&["1.234"]], DecimalComma::Never).1, Vec::<String>::new());
    }

    #[test]
    fn what_may_be_thousands_or_decimals_is_noted() {
        let (readings, notes) = told(&[&["1,250", "2"]], DecimalComma::Detected);
        assert_eq!(readings[0].kind, CellKind::Text);
        assert!(
            notes[0].contains("1,250 may be 1250 or 1.250") && notes[0].contains("--decimal-comma"),
            "{notes:?}"
        );
        assert_eq!(told(&[&["1,250", "x"]], DecimalComma::Detected).1, Vec::<String>::new());
        // a wide table is not listed whole
        let (_, notes) = told(&[&["1,5"][..]; 12], DecimalComma::Detected);
        assert!(notes[0].ends_with("c8, c9 and 2 more columns"), "{notes:?}");
        assert_eq!(told(&[&["1,250"][..]; 12], DecimalComma::Detected).1.len(), NAMED);
    }
}

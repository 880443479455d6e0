//! What the user says of files to import, by flags of the verb; the rest is told from the files. `import` hands it to
//! whoever decides.

use crate::error::{Error, Result};
use crate::ingest::format::FileFormat;

/// What the user says of the files.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Their format; else name and content tell.
    pub format: Option<FileFormat>,
    /// The time field of the dataset; else it is found.
    pub time: Option<String>,
    /// The key of records: the dataset is made one of records with it. Empty: the dataset is what it is.
    pub key: Vec<String>,
    /// The field of a JSON document that holds the rows.
    pub at: Option<String>,
    /// Fields whose text is JSON, which is flattened as if it had been nested in them.
    pub json_fields: Vec<String>,
    /// The byte between two cells; else the first rows tell.
    pub delimiter: Option<u8>,
    /// Numbers have a decimal comma in every column; else the columns tell, unless cells are separated by commas.
    pub decimal_comma: bool,
    /// Go on where an earlier import of the same file has ended.
    pub resume: bool,
}

impl ImportOptions {
    /// Whether a file of this format can be read as the user says.
    ///
    /// # Errors
    /// A flag is for other formats; the message names them.
    pub fn check(&self, name: &str, format: FileFormat) -> Result<()> {
        let is_table = matches!(format, FileFormat::Csv | FileFormat::Tsv);
        let misplaced = [
            ("--at", "JSON documents", self.at.is_some() && format != FileFormat::Json),
            ("--delimiter", "CSV and TSV", self.delimiter.is_some() && !is_table),
            ("--decimal-comma", "CSV and TSV", self.decimal_comma && !is_table),
        ];
        match misplaced.iter().find(|(.., is_misplaced)| *is_misplaced) {
            Some((flag, for_what, _)) => {
                Err(Error::invalid(format!("{flag} is for {for_what}, {name} is read as {format}")))
            }
            None => Ok(()),
        }
    }
}

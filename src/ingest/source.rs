//! Where an import reads from: a file or standard input, unpacked on the way. Compression is told by the first
//! bytes and never by the name, so a file that is not what its name says is either read all the same or refused
//! with what it seems to be. `import` opens one [`Source`] a file and reads text from it.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result, nearest};
use crate::ingest::{foreign, split};
use crate::limits;

/// Bytes of text that are looked at before anything is decoded: format, delimiter and header are told from them.
const HEAD_BYTES: u64 = 64 << 10;
/// Names of a folder that are compared with that of a missing file.
const NEIGHBOURS: usize = 10_000;
/// Bytes asked of the system at once.
const READ_BYTES: usize = 256 << 10;

/// How the bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip, of one or more members.
    Gzip,
    /// Zstandard, of one or more frames.
    Zstd,
}

/// Text to import, unpacked and without its byte-order mark.
pub struct Source {
    name: String,
    compression: Compression,
    bytes_total: Option<u64>,
    notes: Vec<String>,
    head: Cursor<Vec<u8>>,
    /// What stopped the reading of the head; told when the reader gets there.
    pending: Option<io::Error>,
    rest: Box<dyn Read + Send>,
}

/// How gzip begins.
pub const GZIP: &[u8] = b"\x1f\x8b";
/// How a frame of Zstandard begins.
pub const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

impl Source {
    /// Opens a file, or standard input where the path is `-`. The bytes that are read, as they are packed, are
    /// added to `bytes_read`.
    ///
    /// # Errors
    /// There is no such file, it is a folder or cannot be read, or its content is none that can be imported.
    pub fn open(path: &Path, bytes_read: Arc<AtomicU64>) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Self::of("standard input", Box::new(io::stdin()), None, bytes_read);
        }
        check(path)?;
        let name = path.display().to_string();
        let context = |e| Error::io(format!("cannot open {name}"), e);
        let file = File::open(path).map_err(context)?;
        let meta = file.metadata().map_err(context)?;
        // a pipe with a name has no size
        let total = meta.is_file().then_some(meta.len());
        Self::of(&name, Box::new(file), total, bytes_read)
    }

    /// Reads from anything; `name` is what errors call it.
    ///
    /// # Errors
    /// The content is none that can be imported.
    pub fn of(
        name: &str,
        raw: Box<dyn Read + Send>,
        bytes_total: Option<u64>,
        bytes_read: Arc<AtomicU64>,
    ) -> Result<Self> {
        let counted = Counted { inner: raw, bytes_read };
        let mut packed = BufReader::with_capacity(READ_BYTES, counted);
        let magic = first_bytes(&mut packed, 4).map_err(|e| Error::io(format!("cannot read {name}"), e))?;
        let compression = match magic.as_slice() {
            start if start.starts_with(GZIP) => Compression::Gzip,
            start if start.starts_with(ZSTD) => Compression::Zstd,
            _ => Compression::Plain,
        };
        let packed = Cursor::new(magic).chain(packed);
        let rest = unpacked(name, packed, compression)?;
        let mut source = Self {
            name: name.into(),
            compression,
            bytes_total,
            notes: Vec::new(),
            head: Cursor::default(),
            pending: None,
            rest,
        };
        source.look_at_head()?;
        source.note_misnamed();
        Ok(source)
    }

    /// What errors call it: the path as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes of the file as it is packed; `None` where that is not known.
    pub fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// The first bytes of the text.
    pub fn head(&self) -> &[u8] {
        self.head.get_ref()
    }

    /// Whether the head is all there is.
    pub fn head_is_all(&self) -> bool {
        (self.head.get_ref().len() as u64) < HEAD_BYTES && self.pending.is_none()
    }

    /// What the user should know of the file.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// What a failed read means, for [`broken`] to tell once the reader itself has been handed on.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    fn look_at_head(&mut self) -> Result<()> {
        let mut head = Vec::new();
        // what came before a failure is in the head all the same
        self.pending = (&mut self.rest).take(HEAD_BYTES).read_to_end(&mut head).err();
        let refused = |why: String| Error::invalid(format!("{}{why}", self.name));
        if let Some(why) = foreign::told(&head) {
            return Err(refused(why));
        }
        let text = split::utf8_start(&head).map_err(|e| refused(format!(": {e}")))?;
        if let Some(why) = foreign::binary(text) {
            return Err(refused(why));
        }
        let mark_bytes = head.len() - text.len();
        head.drain(..mark_bytes);
        self.head = Cursor::new(head);
        Ok(())
    }

    fn note_misnamed(&mut self) {
        let lower = self.name.to_lowercase();
        let named = if lower.ends_with(".gz") {
            Compression::Gzip
        } else if lower.ends_with(".zst") {
            Compression::Zstd
        } else {
            Compression::Plain
        };
        let from_file = self.bytes_total.is_some();
        if named != self.compression && from_file && !self.head().is_empty() {
            let name = &self.name;
            self.notes.push(match self.compression {
                Compression::Plain => format!("{name} is not what its name says: it is not compressed"),
                Compression::Gzip => {
                    format!("{name} is not what its name says: it is gzip, and was unpacked")
                }
                Compression::Zstd => {
                    format!("{name} is not what its name says: it is zstd, and was unpacked")
                }
            });
        }
    }
}

/// Whether a path can be opened: there, and no folder. `-` always can.
///
/// # Errors
/// `NotFound`, `Invalid` for a folder, and what the system says.
pub fn check(path: &Path) -> Result<()> {
    if path.as_os_str() == "-" {
        return Ok(());
    }
    let name = path.display();
    match path.metadata() {
        Ok(meta) if meta.is_dir() => {
            Err(Error::invalid(format!("{name} is a directory; name the files in it, as with {name}/*")))
        }
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let hint = neighbours(path);
            Err(Error::NotFound(format!("there is no file {name}{hint}")))
        }
        Err(e) => Err(Error::io(format!("cannot open {name}"), e)),
    }
}

/// Which files of its folder a missing one may have meant, as the end of a message.
fn neighbours(path: &Path) -> String {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wanted = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let entries =
        std::fs::read_dir(folder).into_iter().flatten().take(NEIGHBOURS).filter_map(|entry| entry.ok());
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    match nearest(&wanted, names.iter().map(String::as_str)) {
        none if none.is_empty() => "; check its path".to_owned(),
        some => some,
    }
}

/// What a failed read of a source means: damaged input, or a fault of the system.
pub fn broken(name: &str, compression: Compression, error: io::Error, place: &str) -> Error {
    let packing = match compression {
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
        Compression::Plain => return Error::io(format!("cannot read {name} {place}"), error),
    };
    if error.raw_os_error().is_some() {
        return Error::io(format!("cannot read {name} {place}"), error);
    }
    let (what, advice) = match error.kind() {
        io::ErrorKind::UnexpectedEof => ("is cut off: its".to_owned(), "get the whole file"),
        _ => (format!("is damaged ({error}): its"), "get the file anew"),
    };
    Error::invalid(format!("{name} {what} {packing} stream cannot be read on {place}; {advice}"))
}

/// Fills a few bytes, fewer only where there are no more.
fn first_bytes(reader: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(count).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unpacked(
    name: &str,
    packed: impl Read + Send + 'static,
    compression: Compression,
) -> Result<Box<dyn Read + Send>> {
    Ok(match compression {
        Compression::Plain => Box::new(packed),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, packed))),
        Compression::Zstd => {
            let cannot = |e| Error::io(format!("cannot unpack {name}"), e);
            let mut decoder = zstd::Decoder::new(packed).map_err(cannot)?;
            decoder.window_log_max(limits::ZSTD_WINDOW_LOG).map_err(cannot)?;
            Box::new(decoder)
        }
    })
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.head.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        match self.pending.take() {
            Some(error) => Err(error),
            None => self.rest.read(buffer),
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("compression", &self.compression).finish()
    }
}

struct Counted {
    inner: Box<dyn Read + Send>,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

//! A DBN file's header, versions 1 to 3: how long it is, and the names that it gives to instruments.

use std::collections::BTreeMap;

use thiserror::Error;

/// The first bytes of every file.
pub const MAGIC: &[u8; 3] = b"DBN";
/// The first bytes of the format that came before, DBZ, whichever number its first byte carries.
pub const LEGACY_MAGIC: &[u8; 3] = &[0x2a, 0x4d, 0x18];
/// Magic, version and the length of what follows.
pub const PRELUDE_BYTES: usize = 8;
/// Longest header: some 100,000 instruments with a name and an interval each.
pub const BYTES_MAX: usize = 1 << 25;

/// Bytes of the fields of fixed size, behind the prelude.
const FIXED_BYTES: usize = 100;
/// Bytes of a symbol in version 1, which does not say.
const SYMBOL_BYTES_V1: usize = 22;
/// Where versions from 2 on say how long a symbol is, behind the prelude.
const SYMBOL_BYTES_AT: usize = 45;

/// Why a header cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// It is none.
    #[error("not a DBN file: it does not begin with `DBN`")]
    Magic,
    /// A version that is not read.
    #[error("DBN version {version}: versions 1 to 3 are read")]
    Version {
        /// What it says.
        version: u8,
    },
    /// Longer than [`BYTES_MAX`], or too short for what it must hold.
    #[error("a DBN header of {bytes} bytes: between {FIXED_BYTES} and {BYTES_MAX} are read")]
    Length {
        /// What it says.
        bytes: usize,
    },
    /// A list that the header is too short for, or a symbol that is no text.
    #[error("DBN header, byte {at}: {what}")]
    Layout {
        /// Where, from the file's first byte.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// What the header says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// 1 to 3.
    pub version: u8,
    /// Names by DBN's instrument id: the first that the header gives to each.
    pub names: BTreeMap<u32, String>,
}

/// Bytes of the whole header, told by its first [`PRELUDE_BYTES`].
///
/// # Errors
/// [`HeaderError`].
pub fn header_bytes(prelude: [u8; PRELUDE_BYTES]) -> Result<usize, HeaderError> {
    let [magic @ .., version, a, b, c, d] = prelude;
    if magic != *MAGIC {
        return Err(HeaderError::Magic);
    }
    if !(1..=3).contains(&version) {
        return Err(HeaderError::Version { version });
    }
    let bytes = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if !(FIXED_BYTES..=BYTES_MAX).contains(&bytes) {
        return Err(HeaderError::Length { bytes });
    }
    Ok(PRELUDE_BYTES + bytes)
}

/// Reads a whole header.
///
/// # Errors
/// [`HeaderError`].
pub fn parse(header: &[u8]) -> Result<Metadata, HeaderError> {
    let prelude = header.first_chunk::<PRELUDE_BYTES>().ok_or(HeaderError::Magic)?;
    let bytes = header_bytes(*prelude)?;
    let version = prelude[3];
    let mut reader = Reader { header: header.get(..bytes).unwrap_or(header), at: PRELUDE_BYTES };
    let symbol_bytes = if version == 1 {
        SYMBOL_BYTES_V1
    } else {
        reader.at += SYMBOL_BYTES_AT;
        usize::from(u16::from_le_bytes(reader.array()?))
    };
    reader.at = PRELUDE_BYTES + FIXED_BYTES;
    let definition = reader.count()?;
    reader.skip(definition)?;
    // What was asked for, what was found in part, what was not found.
    for _ in 0..3 {
        let symbols = reader.count()?;
        reader.skip(symbols.saturating_mul(symbol_bytes))?;
    }
    let mut names = BTreeMap::new();
    for _ in 0..reader.count()? {
        let raw = reader.symbol(symbol_bytes)?;
        for _ in 0..reader.count()? {
            // The days that it holds for.
            reader.skip(8)?;
            let mapped = reader.symbol(symbol_bytes)?;
            // Either side may be the number: files can be asked for by it.
            let (id, name) = match (mapped.parse(), raw.parse()) {
                (Ok(id), _) => (id, raw),
                (_, Ok(id)) => (id, mapped),
                _ => continue,
            };
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    Ok(Metadata { version, names })
}

struct Reader<'a> {
    header: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], HeaderError> {
        let end = self.at.saturating_add(bytes);
        let taken = self.header.get(self.at..end);
        let taken = taken.ok_or(HeaderError::Layout { at: self.at, what: "it ends before what it announces" })?;
        self.at = end;
        Ok(taken)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), HeaderError> {
        self.take(bytes).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        let at = self.at;
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| HeaderError::Layout { at, what: "it ends before what it announces" })
    }

    fn count(&mut self) -> Result<usize, HeaderError> {
        Ok(usize::try_from(u32::from_le_bytes(self.array()?)).unwrap_or(usize::MAX))
    }

    fn symbol(&mut self, bytes: usize) -> Result<&'a str, HeaderError> {
        let at = self.at;
        let symbol = self.take(bytes)?;
        let end = symbol.iter().position(|byte| *byte == 0).unwrap_or(symbol.len());
        std::str::from_utf8(&symbol[..end]).map_err(|_| HeaderError::Layout { at, what: "a symbol that is no text" })
    }
}

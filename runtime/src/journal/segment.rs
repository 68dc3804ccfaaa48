//! A journal's file: eight bytes that say what it is, then blocks. A block is the length of its entries, their CRC-32 (IEEE), and the
//! CRC-32 of these eight bytes, four bytes little-endian each; then the entries one after the other. So a length that is not as it was
//! written is told from a block that a crash has cut.

use crc32fast::hash;

use super::{Entry, JournalError};
use crate::limits::{JOURNAL_BLOCK_BYTES_MAX, JOURNAL_ENTRY_BYTES_MAX};

/// What a segment begins with.
pub(super) const MAGIC: [u8; 8] = *b"PINJRNL1";
/// Length and two checksums.
const BLOCK_HEAD_BYTES: usize = 12;

/// Entries on their way to one block.
#[derive(Debug, Default)]
pub(super) struct Block {
    entries: Vec<u8>,
}

impl Block {
    /// Adds an entry.
    ///
    /// # Errors
    /// Of an entry that is too large to be read again: a strategy file is at most 1 MiB, so there is none.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), postcard::Error> {
        let before = self.entries.len();
        let entries = std::mem::take(&mut self.entries);
        self.entries = postcard::to_extend(entry, entries)?;
        if self.entries.len() - before > JOURNAL_ENTRY_BYTES_MAX {
            self.entries.truncate(before);
            return Err(postcard::Error::SerializeBufferFull);
        }
        Ok(())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it is large enough to be written.
    pub(super) const fn is_full(&self) -> bool {
        self.entries.len() >= JOURNAL_BLOCK_BYTES_MAX - JOURNAL_ENTRY_BYTES_MAX
    }

    /// Its bytes in the file, appended; the block is empty then.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let head: [[u8; 4]; 2] = [length.to_le_bytes(), hash(&self.entries).to_le_bytes()];
        out.extend_from_slice(head.as_flattened());
        out.extend_from_slice(&hash(head.as_flattened()).to_le_bytes());
        out.append(&mut self.entries);
    }
}

/// What lies at the front of a segment's rest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A block's entries, and the bytes that the block takes.
    Block(&'a [u8], usize),
    /// Nothing more.
    End,
    /// A block that was not written to its end.
    Cut,
    /// A block that does not match its checksum, or a length that no block has.
    Damaged,
}

/// The next block of a segment.
pub(super) fn next(rest: &[u8]) -> Next<'_> {
    if rest.is_empty() {
        return Next::End;
    }
    let Some(head) = rest.first_chunk::<BLOCK_HEAD_BYTES>() else { return Next::Cut };
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (length, crc) = (word(0) as usize, word(4));
    if hash(&head[..8]) != word(8) || length == 0 || length > JOURNAL_BLOCK_BYTES_MAX {
        return Next::Damaged;
    }
    match rest.get(BLOCK_HEAD_BYTES..BLOCK_HEAD_BYTES + length) {
        None => Next::Cut,
        Some(entries) if hash(entries) != crc => Next::Damaged,
        Some(entries) => Next::Block(entries, BLOCK_HEAD_BYTES + length),
    }
}

/// The entries of a block.
pub(super) fn entries(mut block: &[u8]) -> Result<Vec<Entry>, JournalError> {
    let mut entries = Vec::new();
    while !block.is_empty() {
        let (entry, rest) = postcard::take_from_bytes(block).map_err(JournalError::Entry)?;
        entries.push(entry);
        block = rest;
    }
    Ok(entries)
}

//! The formats' libraries on a file of a stranger's: some lengths they trust. Where those lie, Arrow's panics or asks for gigabytes, and
//! Parquet's steps over thousands of millions of fields that lie behind the end of the file. All are faults of the file's, told like any
//! other.

use std::any::Any;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use arrow_ipc::reader::read_footer_length;
use arrow_ipc::root_as_footer;
use arrow_schema::ArrowError;
use bytes::Bytes;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

static QUIET: Once = Once::new();

/// What the library makes of the file.
///
/// # Errors
/// What it says where it panics. Whatever it was working on is to be dropped then.
pub(super) fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    QUIET.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                before(panic);
            }
        }));
    });
    GUARDED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(false);
    outcome.map_err(|panic| words(&*panic))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it cannot be read").to_owned()
}

/// The end of an Arrow file: the length of its footer and the format's name.
const TRAILER_BYTES: usize = 10;

/// Looks whether all blocks of an Arrow file lie inside of it: the library allocates what a block says that it has.
///
/// # Errors
/// What is wrong with the footer, or that a block lies outside.
pub(super) fn blocks_lie_inside(file: &mut File) -> Result<(), ArrowError> {
    let outside = || ArrowError::ParseError("it names bytes that lie outside of the file".to_owned());
    let trailer_at = file.metadata()?.len().checked_sub(TRAILER_BYTES as u64).ok_or_else(outside)?;
    file.seek(SeekFrom::Start(trailer_at))?;
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact(&mut trailer)?;
    let length = read_footer_length(trailer)?;
    let footer_at = trailer_at.checked_sub(length as u64).ok_or_else(outside)?;
    file.seek(SeekFrom::Start(footer_at))?;
    let mut footer = vec![0; length];
    file.read_exact(&mut footer)?;
    let footer = root_as_footer(&footer).map_err(|error| ArrowError::ParseError(error.to_string()))?;
    for block in footer.recordBatches().iter().chain(&footer.dictionaries()).flatten() {
        let lengths = [block.offset(), i64::from(block.metaDataLength()), block.bodyLength()];
        let end = lengths.into_iter().try_fold(0_u64, |end, length| end.checked_add(u64::try_from(length).ok()?));
        if end.is_none_or(|end| end > footer_at) {
            return Err(outside());
        }
    }
    file.rewind()?;
    Ok(())
}

/// A file of which nobody reads on behind its end.
pub(super) struct Ending(pub(super) File);

/// Bytes of which the end, once it is there, is an error: whoever reads by lengths was told a wrong one.
pub(super) struct Bounded<R>(R);

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Ok(0) if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => read,
        }
    }
}

impl Length for Ending {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Ending {
    type T = Bounded<BufReader<File>>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(Bounded(self.0.get_read(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > Length::len(self)) {
            return Err(ParquetError::EOF("it names bytes that lie outside of the file".to_owned()));
        }
        self.0.get_bytes(start, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_behind_the_end_is_an_error_and_not_nothing() {
        let mut bounded = Bounded(&b"abc"[..]);
        let mut read = [0; 2];
        assert_eq!(bounded.read(&mut read).unwrap(), 2);
        assert_eq!(bounded.read(&mut read).unwrap(), 1);
        assert_eq!(bounded.read(&mut []).unwrap(), 0);
        assert_eq!(bounded.read(&mut read).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(
            io::copy(&mut bounded.by_ref().take(1 << 31), &mut io::sink()).is_err(),
            "as Parquet's steps over a field"
        );
    }

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        assert_eq!(guarded(|| 1), Ok(1));
        assert_eq!(
            guarded(|| panic!("offset {} lies outside", 7)).map(|()| 0),
            Err("offset 7 lies outside".to_owned())
        );
    }
}

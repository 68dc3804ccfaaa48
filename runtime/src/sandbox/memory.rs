//! Guest memory, where every number is hostile: widen, add, compare, and only then slice.

use super::fault::Refusal;
use crate::limits::GUEST_STRING_BYTES_MAX;

/// `len` bytes at `pointer`.
pub(super) fn bytes(memory: &[u8], pointer: u32, len: u32) -> Result<&[u8], Refusal> {
    let range = range(memory.len(), pointer, len)?;
    Ok(&memory[range])
}

/// `len` bytes at `pointer`, to be written.
pub(super) fn bytes_mut(memory: &mut [u8], pointer: u32, len: u32) -> Result<&mut [u8], Refusal> {
    let range = range(memory.len(), pointer, len)?;
    Ok(&mut memory[range])
}

/// The text at `pointer`.
pub(super) fn text(memory: &[u8], pointer: u32, len: u32) -> Result<&str, Refusal> {
    let bytes = bytes(memory, pointer, len)?;
    if bytes.len() > GUEST_STRING_BYTES_MAX {
        return Err(Refusal::TooLong(bytes.len()));
    }
    std::str::from_utf8(bytes).map_err(|_| Refusal::Utf8)
}

/// Refuses a pointer that is not a multiple of `align`.
pub(super) fn aligned(pointer: u32, align: u32) -> Result<(), Refusal> {
    if pointer.is_multiple_of(align) { Ok(()) } else { Err(Refusal::Unaligned { pointer, align }) }
}

fn range(size: usize, pointer: u32, len: u32) -> Result<std::ops::Range<usize>, Refusal> {
    // 33 bits at most, so it does not wrap; and a usize holds 64.
    const _: () = assert!(usize::BITS == 64);
    let start = pointer as usize;
    let end = start + len as usize;
    if end <= size { Ok(start..end) } else { Err(Refusal::OutOfBounds { pointer, len: len as usize }) }
}

/// Writes the fields of a record one after the other, at offsets that the caller takes from the canonical ABI.
pub(super) struct Record<'a>(pub(super) &'a mut [u8]);

impl Record<'_> {
    pub(super) fn put<const N: usize>(&mut self, offset: usize, field: [u8; N]) -> &mut Self {
        self.0[offset..offset + N].copy_from_slice(&field);
        self
    }
}

/// The little-endian u64 at `offset` of a record.
pub(super) fn u64_at(record: &[u8], offset: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&record[offset..offset + 8]);
    u64::from_le_bytes(field)
}

/// The little-endian u32 at `offset` of a record.
pub(super) fn u32_at(record: &[u8], offset: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&record[offset..offset + 4]);
    u32::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_that_wraps_or_reaches_one_byte_too_far_is_refused() {
        let memory = [0; 16];
        assert_eq!(bytes(&memory, 0, 16).map(<[u8]>::len), Ok(16));
        assert_eq!(bytes(&memory, 16, 0).map(<[u8]>::len), Ok(0));
        for (pointer, len) in [(0, 17), (1, 16), (17, 0), (u32::MAX, 1), (u32::MAX, u32::MAX), (8, u32::MAX - 7)] {
            let refused = Err(Refusal::OutOfBounds { pointer, len: len as usize });
            assert_eq!(bytes(&memory, pointer, len), refused);
        }
    }

    #[test]
    fn text_is_utf8_and_bounded() {
        assert_eq!(text(b"ab\xff", 0, 2), Ok("ab"));
        assert_eq!(text(b"ab\xff", 0, 3), Err(Refusal::Utf8));
        let most = u32::try_from(GUEST_STRING_BYTES_MAX).unwrap();
        let long = vec![b'x'; GUEST_STRING_BYTES_MAX + 1];
        assert_eq!(text(&long, 0, most + 1), Err(Refusal::TooLong(GUEST_STRING_BYTES_MAX + 1)));
        assert!(text(&long, 1, most).is_ok());
    }

    #[test]
    fn an_unaligned_pointer_is_refused() {
        assert_eq!(aligned(16, 8), Ok(()));
        assert_eq!(aligned(12, 8), Err(Refusal::Unaligned { pointer: 12, align: 8 }));
    }
}

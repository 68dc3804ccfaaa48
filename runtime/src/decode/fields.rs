//! The fields of a JSON object, and the items of an array, that a decoder knows: tokens where they lie in the record.
//!
//! Fields may come in any order. Unknown ones are stepped over; one that stands twice is refused; `null` is as good as absent.

use super::error::DecodeError;
use super::json::{Kind, Scanner, Token, text_of, unsigned_of};

/// One object's known fields: `names` says which, and a field is told by its place there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a, const N: usize> {
    record: &'a [u8],
    names: &'static [&'static str; N],
    tokens: [Token; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    /// The fields of a record that is one object and nothing else.
    pub(super) fn of_record(record: &'a [u8], names: &'static [&'static str; N]) -> Result<Self, DecodeError> {
        let mut scanner = Scanner::new(record);
        if scanner.peek()? != b'{' {
            let at = scanner.value()?.at();
            return Err(DecodeError::BadType { field: "record", at, expected: "a JSON object" });
        }
        let fields = Self::read(&mut scanner, record, names)?;
        scanner.end()?;
        Ok(fields)
    }

    /// Reads the object that the scanner stands at.
    pub(super) fn read(
        scanner: &mut Scanner<'a>,
        record: &'a [u8],
        names: &'static [&'static str; N],
    ) -> Result<Self, DecodeError> {
        let mut fields = Self { record, names, tokens: [Token::default(); N] };
        let mut more = scanner.object()?;
        while more {
            let name = scanner.name()?;
            let text = name.of(record);
            let token = scanner.value()?;
            if let Some(field) = names.iter().position(|known| known.as_bytes() == text) {
                if fields.tokens[field].is_some() {
                    return Err(DecodeError::DuplicateField { field: names[field], at: name.at() });
                }
                fields.tokens[field] = token;
            }
            more = scanner.another_field()?;
        }
        Ok(fields)
    }

    /// A field's name on the wire.
    pub(super) const fn name(&self, field: usize) -> &'static str {
        self.names[field]
    }

    /// Where a field lies; [`Kind::Absent`] also where it is `null`.
    #[inline]
    pub(super) fn token(&self, field: usize) -> Token {
        let token = self.tokens[field];
        if token.kind() == Kind::Null { Token::default() } else { token }
    }

    /// Whether a field says something.
    #[inline]
    pub(super) fn has(&self, field: usize) -> bool {
        self.token(field).is_some()
    }

    /// Whether a field is there and says `null`.
    pub(super) fn is_null(&self, field: usize) -> bool {
        self.tokens[field].kind() == Kind::Null
    }

    /// A field that must be text.
    pub(super) fn text(&self, field: usize) -> Result<&'a [u8], DecodeError> {
        text_of(self.token(field), self.record, self.name(field))
    }

    /// A field that must be an unsigned integer.
    pub(super) fn unsigned(&self, field: usize) -> Result<u64, DecodeError> {
        unsigned_of(self.token(field), self.record, self.name(field))
    }

    /// A scanner that stands at the array that a field must be.
    pub(super) fn array(&self, field: usize, expected: &'static str) -> Result<Scanner<'a>, DecodeError> {
        array_at(self.token(field), self.record, self.name(field), expected)
    }

    /// A field that is milliseconds since the Unix epoch, in ns.
    pub(super) fn millis(&self, field: usize) -> Result<u64, DecodeError> {
        let ns = self.unsigned(field)?.checked_mul(1_000_000);
        ns.ok_or(DecodeError::OutOfRange { field: self.name(field), at: self.token(field).at() })
    }

    /// What is wrong with a field that is a word it cannot be.
    #[cold]
    pub(super) fn bad(&self, field: usize, expected: &'static str) -> DecodeError {
        DecodeError::BadType { field: self.name(field), at: self.token(field).at(), expected }
    }
}

/// A scanner that stands at the array that `token` must be.
pub(super) fn array_at<'a>(
    token: Token,
    record: &'a [u8],
    field: &'static str,
    expected: &'static str,
) -> Result<Scanner<'a>, DecodeError> {
    match token.kind() {
        Kind::Array => Ok(Scanner::new(record).again(token)),
        Kind::Absent => Err(DecodeError::MissingField { field }),
        _ => Err(DecodeError::BadType { field, at: token.at(), expected }),
    }
}

/// The first `N` items of the array that comes next; further ones are stepped over, and fewer are refused.
#[inline]
pub(super) fn items<const N: usize>(
    scanner: &mut Scanner<'_>,
    field: &'static str,
    expected: &'static str,
) -> Result<[Token; N], DecodeError> {
    let opens = scanner.peek()?;
    let bad = DecodeError::BadType { field, at: scanner.position(), expected };
    if opens != b'[' || !scanner.array()? {
        return Err(bad);
    }
    let mut tokens = [Token::default(); N];
    let mut len = 0;
    loop {
        let token = scanner.value()?;
        if let Some(slot) = tokens.get_mut(len) {
            *slot = token;
        }
        len += 1;
        if !scanner.another_item()? {
            break;
        }
    }
    if len < N { Err(bad) } else { Ok(tokens) }
}

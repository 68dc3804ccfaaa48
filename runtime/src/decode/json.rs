//! A pull scanner over one JSON record: hands out tokens where they lie, copies nothing, allocates nothing, never recurses.
//!
//! Forgiving about what a message holds (unknown fields are stepped over, in any order), strict about what JSON is: a wrong
//! comma, a raw control byte, a bad escape or number, text after the end, nesting deeper than [`JSON_DEPTH_MAX`] or a string that
//! is not UTF-8 is an error that names the byte, wherever it stands. A value that is stepped over is checked as any other.
//!
//! Strings come as they are on the wire. One with a backslash is [`Kind::Escaped`]: no field that Pinion reads has a reason to be,
//! so readers refuse it, and as a field's name it is never one of ours.

use super::decimal;
use super::error::DecodeError;
use crate::limits::{JSON_DEPTH_MAX, RECORD_BYTES_MAX};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// No token: the field was not there.
    #[default]
    Absent,
    /// A string without escapes; the token is what stands between the quotes.
    Text,
    /// A string with escapes, not resolved.
    Escaped,
    /// A number.
    Number,
    /// `true`.
    True,
    /// `false`.
    False,
    /// `null`.
    Null,
    /// A whole array, brackets included.
    Array,
    /// A whole object, braces included.
    Object,
}

impl Kind {
    const ALL: [Self; 16] = {
        let mut all = [Self::Absent; 16];
        let kinds =
            [Self::Text, Self::Escaped, Self::Number, Self::True, Self::False, Self::Null, Self::Array, Self::Object];
        let mut i = 0;
        while i < kinds.len() {
            all[kinds[i] as usize] = kinds[i];
            i += 1;
        }
        all
    };
}

/// A value where it lies in the record: kind, start and end in one register. As three fields it was written in pieces and read
/// back whole, and the stall of that was a third of the cost of a quote.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Token(u64);

const KIND_BITS: u32 = 4;
const POSITION_BITS: u32 = 30;
const _: () = assert!(KIND_BITS + 2 * POSITION_BITS <= u64::BITS && RECORD_BYTES_MAX < 1 << POSITION_BITS);

impl Token {
    #[inline]
    const fn new(kind: Kind, start: usize, end: usize) -> Self {
        Self((end as u64) << (KIND_BITS + POSITION_BITS) | (start as u64) << KIND_BITS | kind as u64)
    }

    /// The array that begins at `start` and has been read already.
    pub(super) const fn array_at(start: usize) -> Self {
        Self::new(Kind::Array, start, start)
    }

    /// What it is.
    #[inline]
    pub(super) const fn kind(self) -> Kind {
        Kind::ALL[(self.0 & ((1 << KIND_BITS) - 1)) as usize]
    }

    /// Whether the field was there.
    #[inline]
    pub(super) const fn is_some(self) -> bool {
        self.0 != 0
    }

    /// Its first byte's position.
    #[inline]
    pub(super) const fn at(self) -> usize {
        (self.0 >> KIND_BITS & ((1 << POSITION_BITS) - 1)) as usize
    }

    #[inline]
    const fn end(self) -> usize {
        (self.0 >> (KIND_BITS + POSITION_BITS)) as usize
    }

    /// Its bytes.
    #[inline]
    pub(super) fn of(self, record: &[u8]) -> &[u8] {
        record.get(self.at()..self.end()).unwrap_or_default()
    }
}

/// Reads one record from its first byte to its last.
///
/// The steps between tokens are inlined by force: their `Result`s would otherwise go through memory, once for each comma.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

const _: () = assert!(JSON_DEPTH_MAX < u64::BITS);

impl<'a> Scanner<'a> {
    /// At the first byte of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        assert!(bytes.len() <= RECORD_BYTES_MAX);
        Self { bytes, at: 0, depth: 0 }
    }

    /// At `token`, an array or object of this record: to read what was only stepped over.
    pub(super) fn again(&self, token: Token) -> Self {
        Self { bytes: self.bytes, at: token.at(), depth: self.depth }
    }

    /// Where it stands.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// The next byte that is no white space.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Result<u8, DecodeError> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(DecodeError::Truncated { at: self.at }),
            }
        }
    }

    /// Enters an object; false when it is empty, and then it is left again.
    #[inline(always)]
    pub(super) fn object(&mut self) -> Result<bool, DecodeError> {
        self.open(b'{', b'}', "an object")
    }

    /// Enters an array; false when it is empty, and then it is left again.
    #[inline(always)]
    pub(super) fn array(&mut self) -> Result<bool, DecodeError> {
        self.open(b'[', b']', "an array")
    }

    /// After a field's value: true when another follows, false when the object ends.
    #[inline(always)]
    pub(super) fn another_field(&mut self) -> Result<bool, DecodeError> {
        self.another(b'}', "`,` or `}`")
    }

    /// After an item: true when another follows, false when the array ends.
    #[inline(always)]
    pub(super) fn another_item(&mut self) -> Result<bool, DecodeError> {
        self.another(b']', "`,` or `]`")
    }

    /// A field's name and its colon.
    #[inline(always)]
    pub(super) fn name(&mut self) -> Result<Token, DecodeError> {
        if self.peek()? != b'"' {
            return Err(self.unexpected("a field's name"));
        }
        // Most names are one letter with a colon right behind.
        if let Some([_, letter, b'"', b':']) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<4>)
            && letter.is_ascii_alphanumeric()
        {
            self.at += 4;
            return Ok(Token::new(Kind::Text, self.at - 3, self.at - 2));
        }
        let name = self.string()?;
        if self.peek()? != b':' {
            return Err(self.unexpected("`:`"));
        }
        self.at += 1;
        Ok(name)
    }

    /// The next value, whatever it is; an array or object is stepped over.
    #[inline(always)]
    pub(super) fn value(&mut self) -> Result<Token, DecodeError> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' | b'[' => self.container(),
            b'1'..=b'9' => self.integer(),
            _ => self.bare(),
        }
    }

    /// A decimal number, bare or in quotes, times 10 to `scale`, in one pass. `field` is for the error.
    #[inline(always)]
    pub(super) fn decimal(&mut self, field: &'static str, scale: u32) -> Result<i64, DecodeError> {
        if self.peek()? != b'"' {
            let token = self.value()?;
            return decimal_of(token, self.bytes, field, scale);
        }
        let at = self.at + 1;
        match decimal::prefix(self.bytes, at, scale) {
            Ok((value, end)) if self.bytes.get(end) == Some(&b'"') => {
                self.at = end + 1;
                Ok(value)
            }
            // The string as such may be broken; that error comes first.
            outcome => {
                self.string()?;
                Err(number_error(outcome.err().unwrap_or(decimal::NumberError::Syntax), field, at))
            }
        }
    }

    /// What was read since `at`.
    pub(super) fn since(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..self.at).unwrap_or_default()
    }

    /// Nothing but white space may be left.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        match self.peek() {
            Err(_) => Ok(()),
            Ok(_) => Err(self.unexpected("the end of the record")),
        }
    }

    #[inline(always)]
    fn open(&mut self, open: u8, close: u8, expected: &'static str) -> Result<bool, DecodeError> {
        if self.peek()? != open {
            return Err(self.unexpected(expected));
        }
        if self.depth == JSON_DEPTH_MAX {
            return Err(DecodeError::TooDeep { at: self.at });
        }
        self.at += 1;
        if self.peek()? == close {
            self.at += 1;
            return Ok(false);
        }
        self.depth += 1;
        Ok(true)
    }

    #[inline(always)]
    fn another(&mut self, close: u8, expected: &'static str) -> Result<bool, DecodeError> {
        let byte = self.peek()?;
        if byte == b',' {
            self.at += 1;
            return Ok(true);
        }
        if byte == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        Err(self.unexpected(expected))
    }

    /// A string; the scanner stands at its first quote.
    #[inline(always)]
    fn string(&mut self) -> Result<Token, DecodeError> {
        let start = self.at + 1;
        let mut end = start;
        // Eight bytes at a time as long as they are plain.
        while let Some(chunk) = self.bytes.get(end..).and_then(<[u8]>::first_chunk::<8>) {
            let special = special_bytes(u64::from_le_bytes(*chunk));
            if special != 0 {
                end += (special.trailing_zeros() / 8) as usize;
                break;
            }
            end += 8;
        }
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Token::new(Kind::Text, start, end));
        }
        self.string_slow(start, end)
    }

    /// The rest of a string from `end`: escapes, other alphabets, the last bytes of a record, and what is wrong.
    #[cold]
    fn string_slow(&mut self, start: usize, mut end: usize) -> Result<Token, DecodeError> {
        let mut kind = Kind::Text;
        let mut ascii = true;
        loop {
            match self.bytes.get(end) {
                None => return Err(DecodeError::Truncated { at: end }),
                Some(b'"') => break,
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    end = self.escape(end)?;
                }
                Some(0..=0x1f) => return Err(self.unexpected_at(end, "no control byte in a string")),
                Some(byte) => {
                    ascii &= byte.is_ascii();
                    end += 1;
                }
            }
        }
        if !ascii && let Err(error) = std::str::from_utf8(&self.bytes[start..end]) {
            return Err(DecodeError::NotUtf8 { at: start + error.valid_up_to() });
        }
        self.at = end + 1;
        Ok(Token::new(kind, start, end))
    }

    /// Where the escape at `at` ends.
    fn escape(&self, at: usize) -> Result<usize, DecodeError> {
        match self.bytes.get(at + 1) {
            None => Err(DecodeError::Truncated { at: at + 1 }),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => match (at + 2..at + 6).find(|i| !self.bytes.get(*i).is_some_and(u8::is_ascii_hexdigit)) {
                None => Ok(at + 6),
                Some(i) if i >= self.bytes.len() => Err(DecodeError::Truncated { at: i }),
                Some(i) => Err(self.unexpected_at(i, "four hexadecimal digits")),
            },
            Some(_) => Err(self.unexpected_at(at + 1, "an escape")),
        }
    }

    /// A number that begins with a digit other than 0, and is most likely an integer.
    #[inline(always)]
    fn integer(&mut self) -> Result<Token, DecodeError> {
        let start = self.at;
        let end = start + decimal::digits(self.bytes, start).1;
        match self.bytes.get(end) {
            Some(b',' | b'}' | b']') => {
                self.at = end;
                Ok(Token::new(Kind::Number, start, end))
            }
            _ => self.bare(),
        }
    }

    /// A number, `true`, `false` or `null`.
    #[inline(never)]
    fn bare(&mut self) -> Result<Token, DecodeError> {
        let start = self.at;
        let mut end = start;
        while self.bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
        {
            end += 1;
        }
        let text = &self.bytes[start..end];
        let kind = match text {
            b"true" => Kind::True,
            b"false" => Kind::False,
            b"null" => Kind::Null,
            _ if is_number(text) => Kind::Number,
            // Cut off in the middle of a word or number, as far as one can see.
            _ if end == self.bytes.len() && end > start => return Err(DecodeError::Truncated { at: end }),
            _ => return Err(self.unexpected("a value")),
        };
        self.at = end;
        Ok(Token::new(kind, start, end))
    }

    /// Steps over an array or object, checking all of it. Which of the open ones are objects is one bit each.
    #[inline(never)]
    fn container(&mut self) -> Result<Token, DecodeError> {
        let (start, depth) = (self.at, self.depth);
        let kind = if self.peek()? == b'{' { Kind::Object } else { Kind::Array };
        let mut objects = 0_u64;
        loop {
            // A value begins.
            match self.peek()? {
                b'{' => {
                    objects = objects << 1 | 1;
                    if self.object()? {
                        self.name()?;
                        continue;
                    }
                    objects >>= 1;
                }
                b'[' => {
                    objects <<= 1;
                    if self.array()? {
                        continue;
                    }
                    objects >>= 1;
                }
                b'"' => {
                    self.string()?;
                }
                _ => {
                    self.bare()?;
                }
            }
            // A value has ended, and with it perhaps what holds it.
            loop {
                if self.depth == depth {
                    return Ok(Token::new(kind, start, self.at));
                }
                if objects & 1 == 1 {
                    if self.another_field()? {
                        self.name()?;
                        break;
                    }
                } else if self.another_item()? {
                    break;
                }
                objects >>= 1;
            }
        }
    }

    fn unexpected(&self, expected: &'static str) -> DecodeError {
        self.unexpected_at(self.at, expected)
    }

    /// Bytes that are no text at all deserve the better name.
    #[cold]
    fn unexpected_at(&self, at: usize, expected: &'static str) -> DecodeError {
        match std::str::from_utf8(self.bytes) {
            Err(error) if error.valid_up_to() <= at => DecodeError::NotUtf8 { at: error.valid_up_to() },
            _ => DecodeError::NotJson { at, expected },
        }
    }
}

/// The number that a token is, bare or in quotes, times 10 to `scale`.
#[inline]
pub(super) fn decimal_of(token: Token, record: &[u8], field: &'static str, scale: u32) -> Result<i64, DecodeError> {
    match token.kind() {
        Kind::Text | Kind::Number => {
            decimal::parse(token.of(record), scale).map_err(|error| number_error(error, field, token.at()))
        }
        Kind::Absent => Err(DecodeError::MissingField { field }),
        _ => Err(DecodeError::BadType { field, at: token.at(), expected: "a number" }),
    }
}

/// The number that a token is, bare and as programs print floats, with an exponent or without, times 10 to `scale`.
#[inline]
pub(super) fn float_of(token: Token, record: &[u8], field: &'static str, scale: u32) -> Result<i64, DecodeError> {
    match token.kind() {
        Kind::Number => {
            decimal::parse_float_text(token.of(record), scale).map_err(|error| number_error(error, field, token.at()))
        }
        Kind::Absent => Err(DecodeError::MissingField { field }),
        _ => Err(DecodeError::BadType { field, at: token.at(), expected: "a number" }),
    }
}

/// The unsigned integer that a token is; in quotes it is refused.
#[inline]
pub(super) fn unsigned_of(token: Token, record: &[u8], field: &'static str) -> Result<u64, DecodeError> {
    let at = token.at();
    match token.kind() {
        Kind::Number => match decimal::unsigned_prefix(record, at) {
            Ok((value, end)) if end == token.end() => Ok(value),
            Err(decimal::NumberError::Range) => Err(DecodeError::OutOfRange { field, at }),
            // The token is a number, so it is negative, or has a point or an exponent.
            _ if token.of(record).starts_with(b"-") => Err(DecodeError::OutOfRange { field, at }),
            _ => Err(DecodeError::BadNumber { field, at }),
        },
        Kind::Absent => Err(DecodeError::MissingField { field }),
        _ => Err(DecodeError::BadType { field, at, expected: "an unsigned integer" }),
    }
}

/// The text that a token is.
#[inline]
pub(super) fn text_of<'a>(token: Token, record: &'a [u8], field: &'static str) -> Result<&'a [u8], DecodeError> {
    match token.kind() {
        Kind::Text => Ok(token.of(record)),
        Kind::Absent => Err(DecodeError::MissingField { field }),
        _ => Err(DecodeError::BadType { field, at: token.at(), expected: "a string without escapes" }),
    }
}

#[cold]
fn number_error(error: decimal::NumberError, field: &'static str, at: usize) -> DecodeError {
    match error {
        decimal::NumberError::Syntax => DecodeError::BadNumber { field, at },
        decimal::NumberError::Range => DecodeError::OutOfRange { field, at },
    }
}

/// The high bit of each byte that ends a plain run: quote, backslash, control byte, or not ASCII. Only the lowest is exact (a borrow
/// comes from a byte that is itself marked), and only the lowest is used.
#[inline]
const fn special_bytes(chunk: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES * 0x80;
    let quote = chunk ^ (ONES * b'"' as u64);
    let backslash = chunk ^ (ONES * b'\\' as u64);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    let control = chunk.wrapping_sub(ONES * 0x20) & !chunk;
    (quote | backslash | control | chunk) & HIGHS
}

/// JSON's own number grammar: no leading zeros, digits on both sides of a point.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = digits(fraction);
        if len == 0 {
            return false;
        }
        rest = &fraction[len..];
    }
    if let Some((b'e' | b'E', exponent)) = rest.split_first() {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let len = digits(exponent);
        return len > 0 && len == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &[u8]) -> Result<Kind, DecodeError> {
        let mut scanner = Scanner::new(text);
        let token = scanner.value()?;
        scanner.end()?;
        Ok(token.kind())
    }

    #[test]
    fn json_of_every_kind_is_taken() {
        for (text, kind) in [
            ("\"BTCUSDT\"", Kind::Text),
            ("\"a long one, over eight bytes\"", Kind::Text),
            ("\"b\u{e4}r\"", Kind::Text),
            (r#""a\"b\u00e4\\""#, Kind::Escaped),
            ("-0.5e+10", Kind::Number),
            ("true", Kind::True),
            ("false", Kind::False),
            (" null ", Kind::Null),
            ("[]", Kind::Array),
            ("[[1,2],[],{}]", Kind::Array),
            (r#"{"a":[1,{"b":[]}],"c":{"d":null}}"#, Kind::Object),
            ("{ \"a\" : [ 1 , 2 ] ,\r\n\t\"b\" : { } }", Kind::Object),
        ] {
            assert_eq!(check(text.as_bytes()), Ok(kind), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_position() {
        let not_json = |at, expected| Err(DecodeError::NotJson { at, expected });
        for (text, error) in [
            ("[1,]", not_json(3, "a value")),
            ("[1 2]", not_json(3, "`,` or `]`")),
            (r#"{"a":1,}"#, not_json(7, "a field's name")),
            (r#"{"a" 1}"#, not_json(5, "`:`")),
            (r#"{a:1}"#, not_json(1, "a field's name")),
            (r#"{"a":1]"#, not_json(6, "`,` or `}`")),
            ("[1}", not_json(2, "`,` or `]`")),
            ("01 ", not_json(0, "a value")),
            ("[01]", not_json(1, "a value")),
            ("[1.]", not_json(1, "a value")),
            ("[nul]", not_json(1, "a value")),
            ("[\"\t\"]", not_json(2, "no control byte in a string")),
            (r#"["\x"]"#, not_json(3, "an escape")),
            (r#"["\u00g0"]"#, not_json(6, "four hexadecimal digits")),
            ("{} {}", not_json(3, "the end of the record")),
        ] {
            assert_eq!(check(text.as_bytes()), error, "{text}");
        }
        assert_eq!(check(b"[\"ab\xff\"]"), Err(DecodeError::NotUtf8 { at: 4 }));
        assert_eq!(check(b"\xff\xfe"), Err(DecodeError::NotUtf8 { at: 0 }));
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        let limit = JSON_DEPTH_MAX as usize;
        assert_eq!(check(&nested(limit)), Ok(Kind::Array));
        assert_eq!(check(&nested(limit + 1)), Err(DecodeError::TooDeep { at: limit }));
        assert_eq!(check(&b"[".repeat(1 << 20)), Err(DecodeError::TooDeep { at: limit }));
        assert_eq!(check(&br#"{"a":"#.repeat(1 << 10)), Err(DecodeError::TooDeep { at: 5 * limit }));
    }

    #[test]
    fn every_cut_is_truncated() {
        let whole = br#"{"a":"text","b":[1.5,true,null],"c":{"d":"\u00e4"}}"#;
        for len in 0..whole.len() {
            assert_eq!(check(&whole[..len]), Err(DecodeError::Truncated { at: len }), "{len}");
        }
        assert_eq!(check(whole), Ok(Kind::Object));
    }

    proptest! {
        #[test]
        fn what_is_taken_and_what_is_refused_agrees_with_serde_json(text in "[\\[\\]{},:\"\\\\0-9a-f.eE+\\-u ntrls\u{e4}]{0,24}") {
            // serde_json refuses numbers that overflow a float and lone surrogates; the scanner does not look at either.
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(check(text.as_bytes()).is_ok(), theirs, "{}", text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = check(&bytes);
        }

        #[test]
        fn the_first_special_byte_is_found(bytes: [u8; 8]) {
            let first = bytes.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f | 0x80..)).unwrap_or(8);
            prop_assert_eq!((special_bytes(u64::from_le_bytes(bytes)).trailing_zeros() / 8) as usize, first);
        }
    }
}

//! YAML text to a tree that remembers lines.
//!
//! A strategy file needs little of YAML, and what it does not need is refused rather than half understood: anchors and
//! aliases (a few lines of them can stand for gigabytes), tags, duplicate keys (the reader sees one, the program the
//! other), deep nesting and large files. Plain scalars are typed by the core schema of YAML 1.2; words that YAML 1.1,
//! and with it `kubectl`, takes for booleans are kept apart, so that a file means the same on a laptop and in a cluster.
//!
//! Costs time and memory linear in the text, which is at most [`FILE_BYTES_MAX`].

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::error::{SpecError, quoted, with_index, with_key};

/// Largest file: what Kubernetes' store takes for one object, rounded down.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting. The resource itself needs five.
pub const DEPTH_MAX: usize = 32;

/// A piece of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// From 1.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
    /// An error about it has been reported; nothing more is to be said of it.
    Refused,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_line: usize,
    pub(crate) key_column: usize,
    pub(crate) node: Node,
}

/// A scalar as written, and what the core schema says it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) kind: ScalarKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    Null,
    Bool(bool),
    /// What i128 cannot hold is held as its nearest end; every range of the schema is far inside.
    Int(i128),
    Float,
    String,
    /// `yes`, `off` and the like without quotes: a string in YAML 1.2, a boolean in YAML 1.1.
    Yaml11Bool,
}

impl Scalar {
    fn plain(text: String) -> Self {
        let kind = match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
            "true" | "True" | "TRUE" => ScalarKind::Bool(true),
            "false" | "False" | "FALSE" => ScalarKind::Bool(false),
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off"
            | "OFF" => ScalarKind::Yaml11Bool,
            text => integer(text).map(ScalarKind::Int).unwrap_or(if is_float(text) {
                ScalarKind::Float
            } else {
                ScalarKind::String
            }),
        };
        Self { text, kind }
    }
}

/// `[-+]?[0-9]+`, `0o[0-7]+` or `0x[0-9a-fA-F]+`.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits, radix) = if let Some(octal) = text.strip_prefix("0o") {
        (false, octal, 8)
    } else if let Some(hex) = text.strip_prefix("0x") {
        (false, hex, 16)
    } else if let Some(digits) = text.strip_prefix('-') {
        (true, digits, 10)
    } else {
        (false, text.strip_prefix('+').unwrap_or(text), 10)
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.chars().try_fold(0_i128, |value, digit| {
        Some(value.saturating_mul(i128::from(radix)).saturating_add(i128::from(digit.to_digit(radix)?)))
    })?;
    Some(if negative { -value } else { value })
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, or an infinity, or not a number.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let is_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digit = !whole.is_empty() || !fraction.is_empty();
    has_digit
        && is_digits(whole)
        && is_digits(fraction)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && is_digits(exponent))
}

/// The documents of a file that could be read, and every mistake found on the way. Empty documents are left out.
pub(crate) fn documents(text: &str) -> (Vec<Node>, Vec<SpecError>) {
    let mut reader = Reader { parser: None, errors: Vec::new(), documents: Vec::new() };
    if let Err(error) = reader.read(text) {
        reader.errors.push(*error);
    }
    (reader.documents, reader.errors)
}

struct Reader<'a> {
    parser: Option<Parser<'a, StrInput<'a>>>,
    errors: Vec<SpecError>,
    documents: Vec<Node>,
}

/// A mistake after which the rest of the file cannot be read.
type Fatal = Box<SpecError>;

impl<'a> Reader<'a> {
    fn read(&mut self, text: &'a str) -> Result<(), Fatal> {
        if text.len() > FILE_BYTES_MAX {
            let problem = format!("the file has {} bytes, more than the {FILE_BYTES_MAX} allowed", text.len());
            return Err(error_at((1, 1), "", problem, "split it"));
        }
        refuse_unprintable(text)?;
        self.parser = Some(Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)));
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
                (event, span) => {
                    let node = self.node(event, span, "", 0)?;
                    let empty = matches!(&node.value, Value::Scalar(Scalar { kind: ScalarKind::Null, .. }));
                    if !empty {
                        self.documents.push(node);
                    }
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Fatal> {
        let event = self.parser.as_mut().and_then(Parser::next_event);
        event.unwrap_or(Ok((Event::StreamEnd, Span::default()))).map_err(|error| not_yaml(&error))
    }

    fn node(&mut self, event: Event<'a>, span: Span, path: &str, depth: usize) -> Result<Node, Fatal> {
        let at = place(&span);
        if depth > DEPTH_MAX {
            let problem = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(error_at(at, path, problem, "no field of a strategy needs that; take the nesting out"));
        }
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(at, path, anchor, tag.is_some());
                let text = text.into_owned();
                Value::Scalar(match style {
                    ScalarStyle::Plain => Scalar::plain(text),
                    _ => Scalar { text, kind: ScalarKind::String },
                })
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_properties(at, path, anchor, tag.is_some());
                self.sequence(path, depth)?
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_properties(at, path, anchor, tag.is_some());
                self.mapping(path, depth)?
            }
            Event::Alias(_) => {
                self.errors.push(*error_at(at, path, "aliases (*name) are not read".into(), "write the value out"));
                Value::Refused
            }
            // The parser pairs starts and ends, so these cannot stand where a value is due.
            _ => return Err(error_at(at, path, "not YAML: a value is missing".into(), "write one")),
        };
        Ok(Node { line: at.0, column: at.1, value })
    }

    fn sequence(&mut self, path: &str, depth: usize) -> Result<Value, Fatal> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Sequence(items)),
                (event, span) => items.push(self.node(event, span, &with_index(path, items.len()), depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, path: &str, depth: usize) -> Result<Value, Fatal> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let (event, span) = self.next()?;
            let at = place(&span);
            let key = match event {
                Event::MappingEnd => return Ok(Value::Mapping(entries)),
                Event::Scalar(key, _, anchor, tag) => {
                    self.refuse_properties(at, path, anchor, tag.is_some());
                    key.into_owned()
                }
                Event::Alias(_) => return Err(error_at(at, path, "an alias as a key".into(), "write the name out")),
                _ => return Err(error_at(at, path, "a key that is no plain word".into(), "write one word as the key")),
            };
            let (event, span) = self.next()?;
            let field = with_key(path, &key);
            let node = self.node(event, span, &field, depth + 1)?;
            if seen.insert(key.clone()) {
                entries.push(Entry { key, key_line: at.0, key_column: at.1, node });
            } else {
                self.errors.push(*error_at(at, &field, "given twice".into(), "keep one of them"));
            }
        }
    }

    fn refuse_properties(&mut self, at: (usize, usize), path: &str, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.errors.push(*error_at(at, path, "anchors (&name) are not read".into(), "take the anchor out"));
        }
        if tagged {
            let fix = "take the tag out; a string is written in quotes";
            self.errors.push(*error_at(at, path, "tags (!name) are not read".into(), fix));
        }
    }
}

/// The characters that YAML allows. The parser takes NUL for the end of the file and would ignore what follows it.
fn refuse_unprintable(text: &str) -> Result<(), Fatal> {
    let printable = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
    let Some((index, bad)) = text.char_indices().find(|(_, c)| !printable(*c)) else {
        return Ok(());
    };
    let before = &text[..index];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let at = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
    let problem = format!("a character that YAML does not allow: {}", quoted(&bad.to_string()));
    Err(error_at(at, "", problem, "take it out; inside double quotes it may be written as an escape"))
}

fn place(span: &Span) -> (usize, usize) {
    (span.start.line().max(1), span.start.col() + 1)
}

fn not_yaml(error: &ScanError) -> Fatal {
    let at = (error.marker().line().max(1), error.marker().col() + 1);
    error_at(
        at,
        "",
        format!("not YAML: {}", error.info()),
        "look at the indentation and the quotes here and just above",
    )
}

fn error_at((line, column): (usize, usize), field: &str, problem: String, fix: &str) -> Fatal {
    Box::new(SpecError { line, column, field: field.to_owned(), problem, fix: fix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(text: &str) -> ScalarKind {
        Scalar::plain(text.to_owned()).kind
    }

    fn only_error(text: &str) -> SpecError {
        let (_, mut errors) = documents(text);
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.remove(0)
    }

    #[test]
    fn plain_scalars_have_the_types_of_the_core_schema() {
        for text in ["~", "null", "Null", "NULL", ""] {
            assert_eq!(kind_of(text), ScalarKind::Null, "{text}");
        }
        for (text, value) in [("0", 0), ("-12", -12), ("+7", 7), ("0o17", 15), ("0xfF", 255), ("007", 7)] {
            assert_eq!(kind_of(text), ScalarKind::Int(value), "{text}");
        }
        assert_eq!(kind_of(&"9".repeat(60)), ScalarKind::Int(i128::MAX));
        for text in ["0.5", ".5", "5.", "-1e3", "1E+3", "1.5e-3", ".inf", "-.INF", ".nan"] {
            assert_eq!(kind_of(text), ScalarKind::Float, "{text}");
        }
        for text in ["nULL", "tRue", "1.2.3", "e3", "1e", "0x", "-", ".", "+.nan", "1_000", "0b1", "BTCUSDT"] {
            assert_eq!(kind_of(text), ScalarKind::String, "{text}");
        }
        assert_eq!(kind_of("TRUE"), ScalarKind::Bool(true));
        assert_eq!(kind_of("ON"), ScalarKind::Yaml11Bool);
        let (nodes, errors) = documents("\"0.5\"");
        assert_eq!(
            (nodes[0].value.clone(), errors),
            (Value::Scalar(Scalar { text: "0.5".into(), kind: ScalarKind::String }), vec![])
        );
    }

    #[test]
    fn every_node_knows_its_line_and_column() {
        let (nodes, errors) = documents("# one\na: 1\n---\nb:\n  - x\n  - é: 2\n---\n");
        assert_eq!(errors, []);
        assert_eq!(nodes.len(), 2, "the empty document is left out");
        let Value::Mapping(entries) = &nodes[1].value else { panic!("{nodes:?}") };
        let Value::Sequence(items) = &entries[0].node.value else { panic!("{nodes:?}") };
        assert_eq!((items[0].line, items[0].column), (5, 5));
        let Value::Mapping(inner) = &items[1].value else { panic!("{nodes:?}") };
        assert_eq!((inner[0].key_line, inner[0].key_column), (6, 5));
        assert_eq!((inner[0].node.line, inner[0].node.column), (6, 8));
    }

    #[test]
    fn an_alias_bomb_is_refused_without_being_unfolded() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..30 {
            bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "));
        }
        let (_, errors) = documents(&bomb);
        assert_eq!(errors.iter().filter(|e| e.problem.starts_with("anchors")).count(), 30);
        assert_eq!(errors.iter().filter(|e| e.problem.starts_with("aliases")).count(), 29 * 9);
        assert_eq!((errors[0].line, errors[0].field.as_str()), (1, "a0"));
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused_and_at_the_limit_read() {
        let nested = |depth: usize| format!("{}x{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(documents(&nested(DEPTH_MAX)).1, []);
        assert!(only_error(&nested(DEPTH_MAX + 1)).problem.contains("deeper than 32"));
        for hostile in ["[", "{", "- ", "? ", "{a: ", "[{"] {
            let errors = documents(&hostile.repeat(FILE_BYTES_MAX / hostile.len())).1;
            assert_eq!(errors.len(), 1, "{hostile}");
        }
    }

    #[test]
    fn a_key_given_twice_is_named_with_its_second_line() {
        let error = only_error("a:\n  b: 1\n  c: 2\n  b: 3\n");
        assert_eq!((error.line, error.column, error.field.as_str()), (4, 3, "a.b"));
    }

    #[test]
    fn nul_and_other_control_characters_are_refused_where_they_stand() {
        let error = only_error("a: 1\nbé\0: 2\n");
        assert_eq!((error.line, error.column), (2, 3));
        assert!(error.problem.contains(r"\0"), "{error}");
        only_error("a: \u{1b}[2J");
    }

    #[test]
    fn tags_complex_keys_and_broken_text_are_refused() {
        assert!(only_error("a: !!str 1").problem.starts_with("tags"));
        assert!(only_error("a: !custom {}").problem.starts_with("tags"));
        assert!(only_error("? [a]\n: 1").problem.contains("key"));
        assert!(only_error("a: [1\nb: 2").problem.starts_with("not YAML"));
        assert!(only_error("a: \"open").problem.starts_with("not YAML"));
    }

    #[test]
    fn size_is_limited() {
        let largest = format!("a: {}", "x".repeat(FILE_BYTES_MAX - 3));
        assert_eq!(documents(&largest).1, []);
        assert!(only_error(&(largest + "x")).problem.contains("1048577 bytes"));
    }
}

//! What is known of instruments: the strategy file's declarations, and the symbols that a feed has shown.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use pinion_spec::ids::{instrument_id, publisher_id};
use thiserror::Error;

use crate::decode::DecodeError;
use crate::id_index::IdIndex;
use crate::limits::{INSTRUMENTS_MAX, SYMBOL_BYTES_MAX};

/// A declared instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    /// Its id; see [`pinion_spec::ids::instrument_id`].
    pub id: u64,
    /// Whose feed carries it.
    pub publisher_id: u32,
    /// The same by name.
    pub publisher: Box<str>,
    /// The venue's symbol.
    pub symbol: Box<str>,
    /// Prices are multiples of this, at 1e-9.
    pub tick: i64,
    /// Sizes are multiples of this, at `size_exponent`.
    pub lot: i64,
    /// Sizes are integers at 10 to this power.
    pub size_exponent: i8,
}

/// The declared instruments of one strategy, by id.
#[derive(Debug, Clone)]
pub struct Instruments {
    entries: Vec<Instrument>,
    /// Asked with every order: a hash with a key of its own would be a good part of a risk check.
    places: IdIndex,
}

impl Default for Instruments {
    fn default() -> Self {
        Self::new([])
    }
}

impl Instruments {
    /// The table of these instruments; the last of two with the same id stays (the caller has refused collisions).
    #[must_use]
    pub fn new(instruments: impl IntoIterator<Item = Instrument>) -> Self {
        let mut table = Self { entries: Vec::new(), places: IdIndex::new(1) };
        for instrument in instruments {
            match table.places.get(instrument.id) {
                Some(place) => table.entries[place as usize] = instrument,
                None => table.add(instrument),
            }
        }
        table
    }

    fn add(&mut self, instrument: Instrument) {
        if self.entries.len() == self.places.capacity() {
            self.places.grow();
        }
        let place = u32::try_from(self.entries.len()).unwrap_or_else(|_| unreachable!("a file declares a few"));
        self.places.insert(instrument.id, place);
        self.entries.push(instrument);
    }

    /// The instrument with this id.
    #[must_use]
    #[inline]
    pub fn get(&self, id: u64) -> Option<&Instrument> {
        self.places.get(id).and_then(|place| self.entries.get(place as usize))
    }

    /// All of them, in the order in which they are declared.
    pub fn iter(&self) -> impl Iterator<Item = &Instrument> {
        self.entries.iter()
    }
}

/// What decoding needs to know of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// The instrument's id.
    pub id: u64,
    /// Sizes are integers at 10 to minus this (0 to 9).
    pub size_scale: u32,
}

/// Exponent of sizes where none is declared.
pub const SIZE_EXPONENT_DEFAULT: i8 = -9;

/// Strategy files of one feed that contradict each other, or themselves, about an instrument.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SymbolError {
    /// One symbol with two ids or two size exponents.
    #[error("symbol {symbol} is declared twice, with different ids or size exponents")]
    Contradiction {
        /// The symbol.
        symbol: Box<str>,
    },
    /// One id for two symbols.
    #[error("instrument id {id} is declared for {first} and for {second}")]
    SharedId {
        /// The id.
        id: u64,
        /// The symbol that has it.
        first: Box<str>,
        /// The symbol that wants it too.
        second: Box<str>,
    },
    /// A size exponent outside -9 to 0.
    #[error("size exponent {exponent} of {symbol} is not in -9 to 0")]
    Exponent {
        /// The symbol.
        symbol: Box<str>,
        /// What was declared.
        exponent: i8,
    },
    /// More than [`INSTRUMENTS_MAX`], or a symbol that is empty or longer than [`SYMBOL_BYTES_MAX`].
    #[error("cannot declare {symbol:?}")]
    Refused {
        /// The symbol.
        symbol: Box<str>,
        /// Why.
        #[source]
        source: DecodeError,
    },
}

/// The symbols of one input and the instruments they stand for: those declared in strategy files, and those that the input
/// has shown, numbered by a stable hash so that a restart needs no memory of them.
///
/// A known symbol is found without allocating, the same one again without hashing. A new one is taken until there are
/// [`INSTRUMENTS_MAX`], and refused when its number is already another's.
#[derive(Debug, Clone)]
pub struct SymbolTable {
    publisher: Box<str>,
    entries: Vec<SymbolEntry>,
    by_symbol: HashMap<Box<[u8]>, usize>,
    by_id: HashMap<u64, usize>,
    /// The symbol that came last: most inputs carry few.
    last: Option<usize>,
    /// How many symbols the input itself has named, and the latest of them.
    seen: usize,
    seen_last: Option<usize>,
}

#[derive(Debug, Clone)]
struct SymbolEntry {
    symbol: Box<str>,
    known: Symbol,
    seen: bool,
}

impl SymbolTable {
    /// The table of a publisher's input; of `declared`, those of that publisher count. The same declaration twice (two strategies
    /// that share a feed) is fine.
    ///
    /// # Errors
    /// [`SymbolError`] where declarations contradict each other.
    pub fn new<'a>(publisher: &str, declared: impl IntoIterator<Item = &'a Instrument>) -> Result<Self, SymbolError> {
        let mut table = Self {
            publisher: publisher.into(),
            entries: Vec::new(),
            by_symbol: HashMap::new(),
            by_id: HashMap::new(),
            last: None,
            seen: 0,
            seen_last: None,
        };
        let publisher_id = publisher_id(publisher);
        for instrument in declared.into_iter().filter(|instrument| instrument.publisher_id == publisher_id) {
            table.declare(instrument)?;
        }
        Ok(table)
    }

    /// The table of an input that speaks of every publisher's instruments (execution reports). A symbol that several publishers
    /// declare stands for none of them here: only its instruments' ids tell them apart.
    ///
    /// # Errors
    /// [`SymbolError`] where declarations contradict each other.
    pub fn of_all_publishers(declared: &[Instrument]) -> Result<Self, SymbolError> {
        let mut table = Self::new("", [])?;
        let mut publishers: HashMap<&str, u32> = HashMap::new();
        let mut ambiguous: HashSet<&str> = HashSet::new();
        for Instrument { symbol, publisher_id, .. } in declared {
            if publishers.insert(symbol, *publisher_id).is_some_and(|other| other != *publisher_id) {
                ambiguous.insert(symbol);
            }
        }
        for instrument in declared {
            if table.symbol_of(instrument.id) == Some(&instrument.symbol) && ambiguous.contains(&*instrument.symbol) {
                continue;
            }
            table.declare(instrument)?;
            if ambiguous.contains(&*instrument.symbol) {
                table.by_symbol.remove(instrument.symbol.as_bytes());
            }
        }
        Ok(table)
    }

    fn declare(&mut self, instrument: &Instrument) -> Result<(), SymbolError> {
        let symbol = &instrument.symbol;
        let size_scale = size_scale(instrument.size_exponent)
            .ok_or_else(|| SymbolError::Exponent { symbol: symbol.clone(), exponent: instrument.size_exponent })?;
        let known = Symbol { id: instrument.id, size_scale };
        match self.by_symbol.get(symbol.as_bytes()).and_then(|i| self.entries.get(*i)) {
            Some(entry) if entry.known == known => return Ok(()),
            Some(_) => return Err(SymbolError::Contradiction { symbol: symbol.clone() }),
            None => {}
        }
        self.insert(symbol, known).map(|_| ()).map_err(|source| match (source, self.symbol_of(known.id)) {
            (DecodeError::InstrumentCollision { id }, Some(first)) => {
                SymbolError::SharedId { id, first: first.into(), second: symbol.clone() }
            }
            _ => SymbolError::Refused { symbol: symbol.clone(), source },
        })
    }

    /// The instrument that a record's symbol stands for; a new symbol is numbered.
    ///
    /// # Errors
    /// `NotUtf8` (at a position in the symbol), `BadSymbol`, `TooManyInstruments`, `InstrumentCollision`; the table is as before then.
    #[inline]
    pub fn resolve(&mut self, symbol: &[u8]) -> Result<Symbol, DecodeError> {
        if let Some(entry) = self.last.and_then(|last| self.entries.get(last)).filter(|e| e.symbol.as_bytes() == symbol)
        {
            return Ok(entry.known);
        }
        self.resolve_other(symbol)
    }

    fn resolve_other(&mut self, symbol: &[u8]) -> Result<Symbol, DecodeError> {
        let index = match self.by_symbol.get(symbol) {
            Some(index) => *index,
            None => self.number(symbol)?,
        };
        let entry = &mut self.entries[index];
        if !entry.seen {
            entry.seen = true;
            self.seen += 1;
            self.seen_last = Some(index);
        }
        self.last = Some(index);
        Ok(entry.known)
    }

    #[cold]
    fn number(&mut self, symbol: &[u8]) -> Result<usize, DecodeError> {
        let text = std::str::from_utf8(symbol).map_err(|error| DecodeError::NotUtf8 { at: error.valid_up_to() })?;
        let id = instrument_id(&self.publisher, symbol);
        self.insert(text, Symbol { id, size_scale: size_scale(SIZE_EXPONENT_DEFAULT).unwrap_or_default() })
    }

    fn insert(&mut self, symbol: &str, known: Symbol) -> Result<usize, DecodeError> {
        if symbol.is_empty() || symbol.len() > SYMBOL_BYTES_MAX {
            return Err(DecodeError::BadSymbol { bytes: symbol.len() });
        }
        if self.entries.len() == INSTRUMENTS_MAX {
            return Err(DecodeError::TooManyInstruments);
        }
        let index = self.entries.len();
        match self.by_id.entry(known.id) {
            Entry::Occupied(_) => return Err(DecodeError::InstrumentCollision { id: known.id }),
            Entry::Vacant(slot) => slot.insert(index),
        };
        self.by_symbol.insert(symbol.as_bytes().into(), index);
        self.entries.push(SymbolEntry { symbol: symbol.into(), known, seen: false });
        Ok(index)
    }

    /// The instrument of a symbol that is already known.
    #[must_use]
    pub fn get(&self, symbol: &[u8]) -> Option<Symbol> {
        self.by_symbol.get(symbol).and_then(|index| self.entries.get(*index)).map(|entry| entry.known)
    }

    /// The one instrument that a record without a symbol can mean: the only one that the input has named, or else the only one
    /// declared.
    #[must_use]
    pub fn only(&self) -> Option<Symbol> {
        let index = match (self.seen, self.entries.len()) {
            (1, _) => self.seen_last?,
            (0, 1) => 0,
            _ => return None,
        };
        self.entries.get(index).map(|entry| entry.known)
    }

    /// The symbol of an instrument.
    #[must_use]
    pub fn symbol_of(&self, id: u64) -> Option<&str> {
        self.by_id.get(&id).and_then(|index| self.entries.get(*index)).map(|entry| &*entry.symbol)
    }

    /// What is known of an instrument.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<Symbol> {
        self.by_id.get(&id).and_then(|index| self.entries.get(*index)).map(|entry| entry.known)
    }

    /// Symbols and their instruments, declared ones first, then in the order they were seen.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Symbol)> {
        self.entries.iter().map(|entry| (&*entry.symbol, entry.known))
    }
}

/// Digits that a size exponent (-9 to 0) leaves behind the point.
fn size_scale(exponent: i8) -> Option<u32> {
    (-9..=0).contains(&exponent).then(|| exponent.unsigned_abs().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(symbol: &str, id: u64, size_exponent: i8) -> Instrument {
        Instrument {
            id,
            publisher_id: publisher_id("binance"),
            publisher: "binance".into(),
            symbol: symbol.into(),
            tick: 0,
            lot: 0,
            size_exponent,
        }
    }

    #[test]
    fn every_declared_instrument_is_found_by_its_id_in_the_order_of_the_file() {
        let table = Instruments::new((0..1_000).map(|n| declared(&format!("S{n}"), n * n, 0)));
        assert!((0..1_000).all(|n| *table.get(n * n).unwrap().symbol == *format!("S{n}")) && table.get(2).is_none());
        assert!(table.iter().map(|one| one.id).eq((0..1_000).map(|n| n * n)));
        let twice = Instruments::new([declared("A", 7, 0), declared("B", 7, 0)]);
        assert_eq!(twice.iter().map(|one| &*one.symbol).collect::<Vec<_>>(), ["B"]);
        assert!(Instruments::default().get(0).is_none());
    }

    #[test]
    fn a_declared_symbol_has_its_number_and_another_a_stable_one() {
        let mut table = SymbolTable::new("binance", &[declared("BTCUSDT", 7, -3)]).unwrap();
        assert_eq!(table.resolve(b"BTCUSDT"), Ok(Symbol { id: 7, size_scale: 3 }));
        let id = instrument_id("binance", b"ETHUSDT");
        for _ in 0..2 {
            assert_eq!(table.resolve(b"ETHUSDT"), Ok(Symbol { id, size_scale: 9 }));
            assert_eq!(table.resolve(b"BTCUSDT").map(|symbol| symbol.id), Ok(7));
        }
        assert_eq!(table.symbol_of(id), Some("ETHUSDT"));
        assert_eq!(table.symbol_of(7), Some("BTCUSDT"));
        assert_eq!(table.symbol_of(8), None);
    }

    #[test]
    fn another_publishers_declaration_does_not_count() {
        let mut table = SymbolTable::new("binance-usdm", &[declared("BTCUSDT", 7, -3)]).unwrap();
        assert_eq!(table.resolve(b"BTCUSDT").map(|symbol| symbol.id), Ok(instrument_id("binance-usdm", b"BTCUSDT")));
    }

    #[test]
    fn declarations_that_contradict_each_other_are_refused() {
        let same = declared("BTCUSDT", 7, -3);
        assert!(SymbolTable::new("binance", [&same, &same]).is_ok());
        for (other, error) in [
            (declared("BTCUSDT", 8, -3), SymbolError::Contradiction { symbol: "BTCUSDT".into() }),
            (declared("BTCUSDT", 7, -4), SymbolError::Contradiction { symbol: "BTCUSDT".into() }),
            (
                declared("ETHUSDT", 7, -3),
                SymbolError::SharedId { id: 7, first: "BTCUSDT".into(), second: "ETHUSDT".into() },
            ),
            (declared("ETHUSDT", 8, 1), SymbolError::Exponent { symbol: "ETHUSDT".into(), exponent: 1 }),
        ] {
            assert_eq!(SymbolTable::new("binance", [&same, &other]).map(|_| ()), Err(error));
        }
    }

    #[test]
    fn a_symbol_whose_number_is_taken_is_refused_and_the_table_stays() {
        let taken = instrument_id("binance", b"ETHUSDT");
        let mut table = SymbolTable::new("binance", &[declared("BTCUSDT", taken, -9)]).unwrap();
        assert_eq!(table.resolve(b"ETHUSDT"), Err(DecodeError::InstrumentCollision { id: taken }));
        assert_eq!(table.symbol_of(taken), Some("BTCUSDT"));
        assert_eq!(table.get(b"ETHUSDT"), None);
    }

    #[test]
    fn a_symbol_of_two_publishers_is_told_apart_by_id_alone() {
        let here = declared("BTCUSDT", 7, -3);
        let there = Instrument { id: 8, publisher_id: 1, ..declared("BTCUSDT", 8, -2) };
        let table = SymbolTable::of_all_publishers(&[here.clone(), there, declared("ETHUSDT", 9, -9), here]).unwrap();
        assert_eq!(table.get(b"BTCUSDT"), None);
        assert_eq!(table.by_id(7), Some(Symbol { id: 7, size_scale: 3 }));
        assert_eq!(table.by_id(8), Some(Symbol { id: 8, size_scale: 2 }));
        assert_eq!(table.get(b"ETHUSDT").map(|symbol| symbol.id), Some(9));
    }

    #[test]
    fn a_hostile_input_cannot_grow_the_table_beyond_its_limit() {
        let mut table = SymbolTable::new("binance", &[]).unwrap();
        for n in 0..INSTRUMENTS_MAX {
            table.resolve(format!("S{n}").as_bytes()).unwrap();
        }
        assert_eq!(table.resolve(b"ONEMORE"), Err(DecodeError::TooManyInstruments));
        assert!(table.resolve(b"S0").is_ok(), "known ones still pass");
        assert_eq!(table.resolve(b""), Err(DecodeError::BadSymbol { bytes: 0 }));
        assert_eq!(
            table.resolve(&[b'A'; SYMBOL_BYTES_MAX + 1]),
            Err(DecodeError::BadSymbol { bytes: SYMBOL_BYTES_MAX + 1 })
        );
        assert_eq!(table.resolve(b"A\xff"), Err(DecodeError::NotUtf8 { at: 1 }));
    }

    #[test]
    fn a_record_without_a_symbol_means_the_only_instrument_or_none() {
        let (a, b) = (declared("A", 1, -9), declared("B", 2, -9));
        assert_eq!(SymbolTable::new("binance", &[]).unwrap().only(), None);
        assert_eq!(SymbolTable::new("binance", [&a]).unwrap().only().map(|s| s.id), Some(1));
        let mut table = SymbolTable::new("binance", [&a, &b]).unwrap();
        assert_eq!(table.only(), None, "two declared, none seen");
        table.resolve(b"B").unwrap();
        assert_eq!(table.only().map(|s| s.id), Some(2), "one seen");
        table.resolve(b"A").unwrap();
        assert_eq!(table.only(), None, "two seen");
    }
}

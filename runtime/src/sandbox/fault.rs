//! From what wasmtime reports to a [`Fault`] with a name.

use std::fmt::Write;

use thiserror::Error;
use wasmtime::{Trap, WasmBacktrace};

use super::{Fault, FaultKind};
use crate::effects::Flood;
use crate::limits::{FAULT_DETAIL_BYTES_MAX, GUEST_STRING_BYTES_MAX, GUEST_TABLE_ELEMENTS_MAX, SAVED_BYTES_MAX};

/// What our own side of the boundary refuses; carried through wasmtime's error and found again here.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
pub(super) enum Refusal {
    #[error("more intents in one callback than the budget allows")]
    Flood,
    #[error("memory of {bytes} bytes asked for, over the cap of {cap}")]
    Memory { bytes: usize, cap: usize },
    #[error("a table of {0} elements asked for, over the cap of {GUEST_TABLE_ELEMENTS_MAX}")]
    Table(usize),
    #[error("{len} bytes at {pointer:#x} are outside of memory")]
    OutOfBounds { pointer: u32, len: usize },
    #[error("pointer {pointer:#x} is not aligned to {align}")]
    Unaligned { pointer: u32, align: u32 },
    #[error("{value} is no {name}")]
    Enum { name: &'static str, value: u32 },
    #[error("text is not UTF-8")]
    Utf8,
    #[error("text of {0} bytes, over the limit of {GUEST_STRING_BYTES_MAX}")]
    TooLong(usize),
    #[error("saved state of {0} bytes, over the limit of {SAVED_BYTES_MAX}")]
    Saved(usize),
    #[error("the host was called from inside cabi_realloc or a post-return function")]
    Reentrance,
}

impl From<Flood> for Refusal {
    fn from(Flood: Flood) -> Self {
        Self::Flood
    }
}

impl Refusal {
    const fn kind(self) -> FaultKind {
        match self {
            Self::Flood => FaultKind::Intents,
            Self::Memory { .. } | Self::Table(_) | Self::Saved(_) => FaultKind::Memory,
            Self::OutOfBounds { .. } | Self::Unaligned { .. } | Self::Enum { .. } | Self::Utf8 | Self::TooLong(_) => {
                FaultKind::BadPointer
            }
            Self::Reentrance => FaultKind::Trap,
        }
    }
}

/// What a guest did wrong, from the error that ended its call.
#[cold]
pub(super) fn fault(error: &wasmtime::Error) -> Fault {
    let trap = error.downcast_ref::<Trap>();
    let refusal = error.downcast_ref::<Refusal>();
    let kind = match (refusal, trap) {
        (Some(refusal), _) => refusal.kind(),
        (None, Some(trap)) => trap_kind(*trap),
        // The rest of what can end a call is the canonical ABI refusing a pointer, a length, an enum or a text.
        (None, None) => FaultKind::BadPointer,
    };
    let mut detail = match (refusal, trap) {
        (Some(refusal), _) => refusal.to_string(),
        (None, Some(trap)) => trap.to_string(),
        (None, None) => error.root_cause().to_string(),
    };
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        for frame in backtrace.frames() {
            let name = frame.func_name().unwrap_or("?");
            // Writing to a String cannot fail.
            let _ = write!(detail, "\n  at {name} (function {})", frame.func_index());
        }
    }
    cut(&mut detail, FAULT_DETAIL_BYTES_MAX);
    Fault { kind, detail }
}

/// A guest that never came to life: its budgets keep their names, everything else is [`FaultKind::Init`].
#[cold]
pub(super) fn instantiation_fault(error: &wasmtime::Error) -> Fault {
    let known = error.downcast_ref::<Refusal>().is_some() || error.downcast_ref::<Trap>().is_some();
    if known {
        return fault(error);
    }
    let mut detail = format!("{error:#}");
    cut(&mut detail, FAULT_DETAIL_BYTES_MAX);
    Fault { kind: FaultKind::Init, detail }
}

const fn trap_kind(trap: Trap) -> FaultKind {
    match trap {
        Trap::Interrupt => FaultKind::Budget,
        Trap::StackOverflow => FaultKind::Stack,
        Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidDiscriminant
        | Trap::UnalignedPointer
        | Trap::InvalidChar => FaultKind::BadPointer,
        _ => FaultKind::Trap,
    }
}

/// Cuts a text to at most `bytes`, between characters.
pub(super) fn cut(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
    }
}

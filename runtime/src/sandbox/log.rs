//! A strategy's log lines, from the worker to the admin thread: bounded in rate, in number and in what they can hold.
//!
//! The rate is over the stream clock, so a replay writes the same lines. Nothing allocates after [`LogBuffer::new`].

use crate::limits::{LOG_BUFFER_BYTES, LOG_BUFFER_LINES, LOG_MESSAGE_BYTES_MAX};

/// Level of a log line; numbers as in the contract's `log-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum LogLevel {
    Debug = 0,
    Info = 1,
    Warn = 2,
    Error = 3,
}

/// One line, lent by [`LogBuffer::drain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// The stream clock when it was written, ns.
    pub now: u64,
    /// Its level.
    pub level: LogLevel,
    /// At most [`LOG_MESSAGE_BYTES_MAX`] bytes, without control characters.
    pub message: &'a str,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    now: u64,
    level: LogLevel,
    end: usize,
}

/// Lines that wait to be taken.
#[derive(Debug)]
pub struct LogBuffer {
    text: String,
    lines: Vec<Header>,
    bytes_per_second: u32,
    /// When, on the stream clock, the lines so far will have been paid for; at most a second ahead.
    paid_at: u64,
    dropped: u64,
}

const SECOND_NS: u64 = 1_000_000_000;

impl LogBuffer {
    /// A buffer that takes `bytes_per_second` of stream time, with a second's worth at once; 0 takes nothing.
    #[must_use]
    pub fn new(bytes_per_second: u32) -> Self {
        Self {
            text: String::with_capacity(LOG_BUFFER_BYTES),
            lines: Vec::with_capacity(LOG_BUFFER_LINES),
            bytes_per_second,
            paid_at: 0,
            dropped: 0,
        }
    }

    /// Takes a line, or counts it as dropped. Control characters, and those that turn the direction of text, are written
    /// escaped, so that a message cannot forge a second line; what is then longer than [`LOG_MESSAGE_BYTES_MAX`] is cut.
    pub fn push(&mut self, now: u64, level: LogLevel, message: &str) {
        let start = self.text.len();
        if self.lines.len() == LOG_BUFFER_LINES || start + LOG_MESSAGE_BYTES_MAX > LOG_BUFFER_BYTES {
            self.dropped += 1;
            return;
        }
        for c in message.chars() {
            // The longest escape is \u{10ffff}.
            let room = start + LOG_MESSAGE_BYTES_MAX - self.text.len();
            if needs_escape(c) {
                let escaped = c.escape_default();
                if escaped.len() > room {
                    break;
                }
                self.text.extend(escaped);
            } else {
                if c.len_utf8() > room {
                    break;
                }
                self.text.push(c);
            }
        }
        if self.pay(now, self.text.len() - start) {
            self.lines.push(Header { now, level, end: self.text.len() });
        } else {
            self.text.truncate(start);
            self.dropped += 1;
        }
    }

    /// Whether a line of `bytes` fits the rate; if so it is paid for. The end of the line counts as a byte.
    fn pay(&mut self, now: u64, bytes: usize) -> bool {
        let Some(cost) = (bytes as u64 + 1).saturating_mul(SECOND_NS).checked_div(u64::from(self.bytes_per_second))
        else {
            return false;
        };
        let paid_at = self.paid_at.max(now).saturating_add(cost);
        let fits = paid_at - now <= SECOND_NS;
        if fits {
            self.paid_at = paid_at;
        }
        fits
    }

    /// Whether nothing waits.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Hands every waiting line to `take`, oldest first, and forgets them.
    pub fn drain(&mut self, mut take: impl FnMut(LogLine<'_>)) {
        let mut start = 0;
        for &Header { now, level, end } in &self.lines {
            take(LogLine { now, level, message: &self.text[start..end] });
            start = end;
        }
        self.lines.clear();
        self.text.clear();
    }

    /// Lines dropped so far: over the rate, or the buffer was full.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Control characters, line and paragraph separators, and the marks that turn the direction of text.
fn needs_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(log: &mut LogBuffer) -> Vec<String> {
        let mut lines = Vec::new();
        log.drain(|line| lines.push(line.message.to_owned()));
        lines
    }

    #[test]
    fn a_message_cannot_forge_a_line_or_turn_the_text_around() {
        let mut log = LogBuffer::new(10_000);
        log.push(0, LogLevel::Info, "a\nERROR b\u{1b}[31m\u{202e}c");
        assert_eq!(lines(&mut log), ["a\\nERROR b\\u{1b}[31m\\u{202e}c"]);
    }

    #[test]
    fn a_long_message_is_cut_between_characters_and_between_escapes() {
        let mut log = LogBuffer::new(1 << 20);
        log.push(0, LogLevel::Info, &"é".repeat(LOG_MESSAGE_BYTES_MAX));
        log.push(0, LogLevel::Info, &format!("x{}", "é".repeat(LOG_MESSAGE_BYTES_MAX)));
        log.push(0, LogLevel::Info, &format!("{}\n", "x".repeat(LOG_MESSAGE_BYTES_MAX - 1)));
        let lengths: Vec<_> = lines(&mut log).iter().map(String::len).collect();
        assert_eq!(lengths, [LOG_MESSAGE_BYTES_MAX, LOG_MESSAGE_BYTES_MAX - 1, LOG_MESSAGE_BYTES_MAX - 1]);
    }

    #[test]
    fn the_rate_is_bytes_in_a_second_of_stream_time() {
        let mut log = LogBuffer::new(10);
        let start = 7 * SECOND_NS;
        log.push(start, LogLevel::Info, "1234");
        log.push(start, LogLevel::Info, "1234");
        log.push(start, LogLevel::Info, "");
        assert_eq!((lines(&mut log).len(), log.dropped()), (2, 1));
        log.push(start + SECOND_NS / 2 - 1, LogLevel::Info, "1234");
        assert_eq!((lines(&mut log).len(), log.dropped()), (0, 2));
        log.push(start + SECOND_NS / 2, LogLevel::Info, "1234");
        assert_eq!((lines(&mut log).len(), log.dropped()), (1, 2));
    }

    #[test]
    fn a_full_buffer_is_counted_and_never_grows() {
        let mut log = LogBuffer::new(u32::MAX);
        let room = (log.text.capacity(), log.lines.capacity());
        for _ in 0..2 * LOG_BUFFER_LINES {
            log.push(0, LogLevel::Info, "");
        }
        assert_eq!(log.dropped(), LOG_BUFFER_LINES as u64);
        log.drain(|_| {});
        for _ in 0..LOG_BUFFER_LINES {
            log.push(0, LogLevel::Info, &"x".repeat(2 * LOG_MESSAGE_BYTES_MAX));
        }
        assert!(log.dropped() > LOG_BUFFER_LINES as u64);
        assert_eq!((log.text.capacity(), log.lines.capacity()), room);
        let mut silent = LogBuffer::new(0);
        silent.push(u64::MAX, LogLevel::Info, "");
        assert_eq!(silent.dropped(), 1);
    }
}

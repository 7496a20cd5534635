//! Makes text of agents and servers harmless to a terminal. Pure: no I/O.
//!
//! An agent chooses what it prints, and a terminal obeys what it is sent: escape
//! sequences can hide lines, rename windows or type for the user. Here they become
//! visible text. Nothing is ever dropped, so what was there can be told.

use std::{borrow::Cow, fmt::Write};

/// What to do with line breaks and tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// They are part of the text.
    Keep,
    /// The text stands on one line, between others.
    OneLine,
}

/// Whether a terminal could take `c` for anything but a visible character.
///
/// Besides the control characters (C0, DEL, C1) these are the invisible characters that
/// change the order of others (bidirectional controls) or break lines.
pub(crate) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Returns `text` with everything hostile written out, such as `\x1b`.
pub(crate) fn escape(text: &str, layout: Layout) -> Cow<'_, str> {
    let passes = |c: char| !is_hostile(c) || (layout == Layout::Keep && matches!(c, '\n' | '\t'));
    if text.chars().all(passes) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if passes(c) {
            safe.push(c);
        } else {
            write_visible(&mut safe, c);
        }
    }
    Cow::Owned(safe)
}

/// Writes one character the way Rust and many other languages spell it.
fn write_visible(out: &mut String, c: char) {
    // Writing to a string cannot fail.
    let _ = match c {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    };
}

/// Escapes a stream of bytes that may be cut anywhere, also within a character.
#[derive(Debug, Default)]
pub(crate) struct StreamEscaper {
    /// The beginning of a character whose rest has not come yet: at most three bytes.
    rest: Vec<u8>,
}

impl StreamEscaper {
    /// Takes the next bytes and returns what can be shown.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        let mut input = std::mem::take(&mut self.rest);
        input.extend_from_slice(bytes);
        let mut safe = String::with_capacity(input.len());
        let mut chunks = input.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            safe.push_str(&escape(chunk.valid(), Layout::Keep));
            if chunks.peek().is_none() && is_unfinished(chunk.invalid()) {
                self.rest = chunk.invalid().to_vec();
            } else {
                write_bytes(&mut safe, chunk.invalid());
            }
        }
        safe
    }

    /// Returns what is left when nothing more will come.
    pub(crate) fn finish(&mut self) -> String {
        let mut safe = String::new();
        write_bytes(&mut safe, &std::mem::take(&mut self.rest));
        safe
    }
}

/// Whether more bytes could make a character of these.
fn is_unfinished(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

fn write_bytes(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminal_sequences_become_visible_text() {
        let table = [
            ("\u{1b}[31mred", "\\x1b[31mred"),
            ("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{8}b\u{7f}", "a\\x08b\\x7f"),
            ("over\rwritten", "over\\rwritten"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            ("plain, üñí ✓", "plain, üñí ✓"),
        ];
        for (hostile, safe) in table {
            assert_eq!(escape(hostile, Layout::Keep), safe);
        }
    }

    #[test]
    fn line_breaks_stay_only_where_they_may() {
        assert_eq!(escape("a\n\tb", Layout::Keep), "a\n\tb");
        assert_eq!(escape("a\n\tb", Layout::OneLine), "a\\n\\tb");
    }

    #[test]
    fn a_character_cut_in_two_is_shown_whole() {
        let mut stream = StreamEscaper::default();
        assert_eq!(stream.push(b"a\xe2\x9c"), "a");
        assert_eq!(stream.push(b"\x93b"), "✓b");
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn a_character_that_never_ends_is_shown_as_bytes() {
        let mut stream = StreamEscaper::default();
        assert_eq!(stream.push(b"\xff\xe2\x9c"), "\\xff");
        assert_eq!(stream.finish(), "\\xe2\\x9c");
    }

    proptest! {
        #[test]
        fn no_text_comes_out_hostile(text in any::<String>()) {
            prop_assert!(!escape(&text, Layout::OneLine).chars().any(is_hostile));
            let kept = escape(&text, Layout::Keep).replace(['\n', '\t'], "");
            prop_assert!(!kept.chars().any(is_hostile));
        }

        #[test]
        fn a_stream_says_the_same_wherever_it_is_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            cut in 0_usize..64,
        ) {
            let cut = cut.min(bytes.len());
            let (mut whole, mut parts) = (StreamEscaper::default(), StreamEscaper::default());
            let expected = whole.push(&bytes) + &whole.finish();
            let shown = parts.push(&bytes[..cut]) + &parts.push(&bytes[cut..]) + &parts.finish();
            prop_assert_eq!(&shown, &expected);
            prop_assert!(!expected.replace(['\n', '\t'], "").chars().any(is_hostile));
        }
    }
}

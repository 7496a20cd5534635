//! JSON that is harmless even on a terminal: what a terminal could obey is written `\uXXXX`.
//!
//! A reader of JSON gets the same text either way.

use crate::{escape::is_hostile, failure::Failure};
use serde::Serialize;
use serde_json::{
    Serializer,
    ser::{CompactFormatter, Formatter},
};
use std::io;

/// Writes `value` on one line.
pub(crate) fn line(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, Harmless(CompactFormatter));
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        // Only a map with keys that are not text, or a failing writer, can come here; our views
        // have neither. A program that reads us still gets JSON.
        Err(_) => "null".to_owned(),
    }
}

/// Writes a failure: `{"error":{"reason":…,"message":…,"retryAfterMs":…}}`.
pub(crate) fn failure(failure: &Failure) -> String {
    let wait = failure.retry_after().map(|wait| wait.as_millis());
    let source = std::error::Error::source(failure);
    let cause = source.map(|cause| format!(": {cause}")).unwrap_or_default();
    line(&serde_json::json!({"error": {
        "reason": failure.reason(),
        "message": format!("{failure}{cause}"),
        "retryAfterMs": wait.and_then(|wait| u64::try_from(wait).ok()),
        "hint": failure.hint(),
    }}))
}

struct Harmless(CompactFormatter);

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, hostile)) = rest.char_indices().find(|(_, c)| is_hostile(*c)) {
            self.0.write_string_fragment(writer, &rest[..at])?;
            for unit in hostile.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + hostile.len_utf8()..];
        }
        self.0.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_failure_has_the_documented_fields() {
        let text = failure(&Failure::input("no such file"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({"error": {
            "reason": "INVALID_INPUT", "message": "no such file", "retryAfterMs": null, "hint": null,
        }});
        assert_eq!(value, expected);
    }

    proptest! {
        #[test]
        fn any_text_survives_and_none_comes_out_hostile(text in any::<String>()) {
            let written = line(&text);
            prop_assert!(!written.chars().any(is_hostile));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }

        #[test]
        fn hostile_characters_survive(c in prop::sample::select(vec!['\u{1b}', '\u{9b}', '\u{202e}', '\u{e0001}'])) {
            let text = format!("a{c}b\"\\");
            prop_assert_eq!(serde_json::from_str::<String>(&line(&text)).unwrap(), text);
        }
    }
}

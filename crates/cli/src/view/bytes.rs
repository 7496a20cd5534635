//! Bytes that are most often text: output of agents, pieces of patches.

use base64::{Engine, engine::general_purpose::STANDARD};
use mosaic_common::proto::agent::v1 as pb;
use serde::Serialize;

/// Bytes as text, and exactly where they are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BytesView {
    /// The bytes as text; what is not UTF-8 is replaced by U+FFFD.
    pub text: String,
    /// The exact bytes, only where `text` is not exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl From<&[u8]> for BytesView {
    fn from(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self {
                text: text.to_owned(),
                base64: None,
            },
            Err(_) => Self {
                text: String::from_utf8_lossy(bytes).into_owned(),
                base64: Some(STANDARD.encode(bytes)),
            },
        }
    }
}

/// A piece of an agent's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OutputView {
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    /// What was written.
    #[serde(flatten)]
    pub data: BytesView,
    /// The cursor that goes on after it.
    pub next_cursor: u64,
    /// Bytes that the spoke dropped just before it.
    pub dropped_bytes: u64,
}

impl From<&pb::LogsResponse> for OutputView {
    fn from(wire: &pb::LogsResponse) -> Self {
        let stream = match wire.stream() {
            pb::OutputStream::Unspecified => "unknown",
            pb::OutputStream::Stdout => "stdout",
            pb::OutputStream::Stderr => "stderr",
        };
        Self {
            stream,
            data: wire.data.as_ref().into(),
            next_cursor: wire.next_cursor,
            dropped_bytes: wire.dropped_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn output_has_the_documented_fields_and_no_others() {
        let mut wire = pb::LogsResponse {
            stream: pb::OutputStream::Stderr.into(),
            data: "hé\n".into(),
            next_cursor: 9,
            dropped_bytes: 0,
        };
        let text = json!({"stream": "stderr", "text": "hé\n", "nextCursor": 9, "droppedBytes": 0});
        assert_eq!(serde_json::to_value(OutputView::from(&wire)).unwrap(), text);
        wire.data = b"\xff".as_ref().into();
        let bytes = json!({
            "stream": "stderr", "text": "\u{fffd}", "base64": "/w==", "nextCursor": 9,
            "droppedBytes": 0,
        });
        assert_eq!(
            serde_json::to_value(OutputView::from(&wire)).unwrap(),
            bytes
        );
    }

    proptest! {
        #[test]
        fn the_exact_bytes_can_always_be_had(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let view = BytesView::from(bytes.as_slice());
            let exact = match view.base64 {
                Some(base64) => STANDARD.decode(base64).unwrap(),
                None => view.text.into_bytes(),
            };
            prop_assert_eq!(exact, bytes);
        }
    }
}

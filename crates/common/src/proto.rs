//! Types and services generated from `proto/`.

/// `mosaic.agent`: the client API.
pub mod agent {
    /// Version 1.
    #[allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        clippy::all,
        clippy::unwrap_used
    )]
    pub mod v1 {
        tonic::include_proto!("mosaic.agent.v1");
    }
}

/// `mosaic.federation`: what travels between hub and spoke.
pub mod federation {
    /// Version 1.
    #[allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        clippy::all,
        clippy::unwrap_used
    )]
    pub mod v1 {
        tonic::include_proto!("mosaic.federation.v1");
    }
}

/// The encoded `FileDescriptorSet` of every file under `proto/`, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Largest message either side accepts from a client or a hub, in bytes.
///
/// Commands hold at most 32 KiB of task text. A bomb of empty sub-messages of this
/// size costs a decoder about 7 MiB; at tonic's default of 4 MiB it costs 465 MiB.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Largest answer a client or a hub accepts, in bytes: a full page of agents.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Largest piece of output or patch in one stream message, in bytes.
///
/// Half of what a frame may hold, so that no framing around it can exceed that.
pub const CHUNK: usize = 32 * 1024;

/// Converts a time to the wire.
#[must_use]
pub fn timestamp(time: jiff::Timestamp) -> prost_types::Timestamp {
    // Nanoseconds of a jiff time before 1970 are negative; the wire wants them positive.
    let nanos = time.as_nanosecond();
    prost_types::Timestamp {
        seconds: nanos.div_euclid(1_000_000_000) as i64,
        nanos: nanos.rem_euclid(1_000_000_000) as i32,
    }
}

/// Reads a time from the wire; `None` if it is out of range.
#[must_use]
pub fn time(wire: &prost_types::Timestamp) -> Option<jiff::Timestamp> {
    if !(0..1_000_000_000).contains(&wire.nanos) {
        return None;
    }
    jiff::Timestamp::new(wire.seconds, wire.nanos).ok()
}

/// Reads a span from the wire; `None` if it is negative or malformed. The library's own
/// conversion overflows on the most negative number.
#[must_use]
pub fn span(wire: &prost_types::Duration) -> Option<std::time::Duration> {
    let nanos = u32::try_from(wire.nanos).ok()?;
    let seconds = u64::try_from(wire.seconds).ok()?;
    (nanos < 1_000_000_000).then(|| std::time::Duration::new(seconds, nanos))
}

/// Converts a span to the wire.
#[must_use]
pub fn duration(span: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: span.subsec_nanos() as i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_spans_that_are_spans_are_read() {
        let span_of = |seconds, nanos| span(&prost_types::Duration { seconds, nanos });
        assert_eq!(
            span_of(1, 500_000_000),
            Some(std::time::Duration::from_millis(1500))
        );
        for (seconds, nanos) in [
            (-1, 0),
            (i64::MIN, 0),
            (0, -1),
            (0, 1_000_000_000),
            (i64::MIN, i32::MIN),
        ] {
            assert_eq!(span_of(seconds, nanos), None, "{seconds} {nanos}");
        }
        assert!(span_of(i64::MAX, 999_999_999).is_some());
    }
}

//! Reads sizes, shares of processors, spans of time and labels, as people write them.
//! Pure: no I/O.

use std::time::Duration;

/// Text that is not the quantity it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be {form}")]
pub(crate) struct InvalidQuantity {
    form: &'static str,
}

const SIZE: InvalidQuantity = InvalidQuantity {
    form: "a size such as 512MiB, 2GiB or a number of bytes, more than 0",
};
const SPAN: InvalidQuantity = InvalidQuantity {
    form: "a span such as 90s, 10m, 1h30m or 2d, in whole seconds, more than 0",
};
const CPUS: InvalidQuantity = InvalidQuantity {
    form: "a number of processors such as 2 or 1.5, from 0.001 on",
};
const LABEL: InvalidQuantity = InvalidQuantity { form: "key=value" };

/// Reads a size in bytes. Binary and decimal units are told apart, as they are written.
///
/// # Errors
/// If it is none, is zero, or does not fit.
pub(crate) fn parse_size(text: &str) -> Result<u64, InvalidQuantity> {
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" | "K" | "k" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        _ => return Err(SIZE),
    };
    let number: u64 = number.parse().map_err(|_| SIZE)?;
    number
        .checked_mul(factor)
        .filter(|size| *size > 0)
        .ok_or(SIZE)
}

/// Reads a span that is not zero: one or more numbers, each with its unit.
///
/// # Errors
/// If it is none, is zero, or does not fit.
pub(crate) fn parse_span(text: &str) -> Result<Duration, InvalidQuantity> {
    let span = parse_span_or_zero(text)?;
    if span.is_zero() { Err(SPAN) } else { Ok(span) }
}

/// Reads a span; zero is one too.
///
/// # Errors
/// If it is none or does not fit.
pub(crate) fn parse_span_or_zero(text: &str) -> Result<Duration, InvalidQuantity> {
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let (number, from_unit) = split_unit(rest);
        let end = from_unit
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(from_unit.len());
        let factor: u64 = match &from_unit[..end] {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return Err(SPAN),
        };
        let number: u64 = number.parse().map_err(|_| SPAN)?;
        let part = number.checked_mul(factor).ok_or(SPAN)?;
        total = total.checked_add(part).ok_or(SPAN)?;
        rest = &from_unit[end..];
    }
    // The wire counts seconds in an i64; more than that is no span of time anyway.
    if text.is_empty() || i64::try_from(total).is_err() {
        return Err(SPAN);
    }
    Ok(Duration::from_secs(total))
}

/// Reads a share of processors as thousandths of one. No floats: 1.5 is exactly 1500.
///
/// # Errors
/// If it is none, is zero, or is finer than a thousandth.
pub(crate) fn parse_cpus(text: &str) -> Result<u32, InvalidQuantity> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return Err(CPUS);
    }
    let whole: u32 = whole.parse().map_err(|_| CPUS)?;
    let thousandths: u32 = format!("{fraction:0<3}").parse().map_err(|_| CPUS)?;
    let millis = whole
        .checked_mul(1000)
        .and_then(|millis| millis.checked_add(thousandths));
    millis.filter(|millis| *millis > 0).ok_or(CPUS)
}

/// Reads a label. What may stand in key and value is the server's business.
///
/// # Errors
/// If there is no `=` or nothing before it.
pub(crate) fn parse_label(text: &str) -> Result<(String, String), InvalidQuantity> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err(LABEL),
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Writes a size for people, in the largest binary unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift))
        .map_or_else(
            || format!("{bytes} B"),
            |(shift, unit)| format!("{} {unit}", bytes >> shift),
        )
}

/// Writes a span for people, such as `1h30m`.
pub(crate) fn show_span(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let text: String = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let table = [
            ("1", 1),
            ("2GiB", 2 << 30),
            ("512MiB", 512 << 20),
            ("512M", 512 << 20),
            ("1GB", 1_000_000_000),
            ("8 KiB", 8 << 10),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "0",
            "GiB",
            "-1",
            "1.5GiB",
            "2gib",
            "99999999TiB",
            "1GiBB",
            "٣",
        ] {
            assert_eq!(parse_size(text), Err(SIZE), "{text}");
        }
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        let table = [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172_800)];
        for (text, seconds) in table {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0s",
            "10",
            "m",
            "1.5h",
            "-1s",
            "1y",
            "1h 5m",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_span(text), Err(SPAN), "{text}");
        }
        assert_eq!(parse_span_or_zero("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn shares_of_processors_are_exact() {
        let table = [("1", 1000), ("1.5", 1500), ("0.001", 1), ("2.25", 2250)];
        for (text, millis) in table {
            assert_eq!(parse_cpus(text), Ok(millis), "{text}");
        }
        for text in [
            "", "0", "0.0", ".5", "1.", "-1", "1.0005", "1e3", "+1", "9999999",
        ] {
            assert_eq!(parse_cpus(text), Err(CPUS), "{text}");
        }
    }

    #[test]
    fn a_label_needs_a_key() {
        assert_eq!(parse_label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(parse_label("a="), Ok(("a".into(), String::new())));
        assert_eq!(parse_label("=b"), Err(LABEL));
        assert_eq!(parse_label("ab"), Err(LABEL));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in any::<String>()) {
            let _ = (parse_size(&text), parse_span(&text), parse_cpus(&text), parse_label(&text));
        }

        #[test]
        fn a_size_that_is_shown_is_read_back(bytes in 1_u64..) {
            let shown = show_size(bytes);
            prop_assert_eq!(parse_size(&shown), Ok(bytes), "{}", shown);
        }

        #[test]
        fn a_span_that_is_shown_is_read_back(seconds in 1_u64..=i64::MAX as u64) {
            let shown = show_span(seconds);
            prop_assert_eq!(parse_span(&shown), Ok(Duration::from_secs(seconds)), "{}", shown);
        }
    }
}

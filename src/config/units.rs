//! Durations, sizes and percentages as they are written. Errors say what is wrong and the mend.

use std::time::Duration;

/// What is wrong with a text, and the mend.
pub(super) type Bad = (String, String);

/// Longer ones are slips, and would overflow clocks.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A duration as the configuration writes it, in seconds or milliseconds.
pub fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

/// A duration: `250ms 5s 1m 1h 1d`.
///
/// # Errors
/// What is wrong, and the mend.
pub fn duration(text: &str) -> Result<Duration, (String, String)> {
    let mend = || "write a whole number and a unit: `250ms`, `5s`, `1m`, `1h` or `1d`".to_owned();
    let (digits, unit) = split(text);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if !digits.is_empty() => {
            return Err((
                "a duration without a unit".to_owned(),
                format!("write `{digits}s` or `{digits}ms`"),
            ));
        }
        _ => return Err(("not a duration".to_owned(), mend())),
    };
    let count: u64 = digits.parse().map_err(|_| ("not a duration".to_owned(), mend()))?;
    count
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .filter(|length| *length <= LONGEST)
        .ok_or_else(|| ("a duration of more than a year".to_owned(), "the longest is `366d`".to_owned()))
}

/// A size in bytes: `100B 64KiB 10MiB 1GiB`.
pub(super) fn size(text: &str) -> Result<u64, Bad> {
    let mend = || "write a whole number and a unit: `100B`, `64KiB`, `10MiB` or `1GiB`".to_owned();
    let (digits, unit) = split(text);
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "" if !digits.is_empty() => {
            return Err(("a size without a unit".to_owned(), format!("write `{digits}B` or `{digits}KiB`")));
        }
        "K" | "k" | "KB" | "kB" | "kb" if !digits.is_empty() => {
            return Err(("not a size".to_owned(), format!("write `{digits}KiB` (1024 bytes each)")));
        }
        "M" | "MB" | "mb" if !digits.is_empty() => {
            return Err(("not a size".to_owned(), format!("write `{digits}MiB` (1024 KiB each)")));
        }
        _ => return Err(("not a size".to_owned(), mend())),
    };
    let count: u64 = digits.parse().map_err(|_| ("not a size".to_owned(), mend()))?;
    // The bound keeps sums of sizes far from overflow.
    count
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes <= 1 << 50)
        .ok_or_else(|| ("a size too large to mean anything".to_owned(), mend()))
}

/// A percentage as a share between 0 and 1: `20%`, `0.5%`.
pub(super) fn percentage(text: &str) -> Result<f64, Bad> {
    let mend = || "write a number from 0 to 100 and a percent sign: `20%`".to_owned();
    let number = text.strip_suffix('%').ok_or_else(|| ("not a percentage".to_owned(), mend()))?;
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value: Option<f64> = if plain { number.parse().ok() } else { None };
    value
        .filter(|value| (0.0..=100.0).contains(value))
        .map(|value| value / 100.0)
        .ok_or_else(|| ("not a percentage".to_owned(), mend()))
}

fn split(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("30").map_err(|bad| bad.1), Err("write `30s` or `30ms`".to_owned()));
        for wrong in ["", "s", "1.5s", "-1s", "1 s", "1m30s", "5sec", "999999999999999999999s", "367d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("100B"), Ok(100));
        assert_eq!(size("10MB").map_err(|bad| bad.1), Err("write `10MiB` (1024 KiB each)".to_owned()));
        for wrong in ["", "KiB", "1.5MiB", "10", "9999999999GiB", "-1B"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn percentages_are_shares() {
        assert_eq!(percentage("20%"), Ok(0.2));
        assert_eq!(percentage("0.5%"), Ok(0.005));
        for wrong in ["20", "101%", "-1%", "%", "1e1%", "nan%", "inf%", ".%"] {
            assert!(percentage(wrong).is_err(), "{wrong}");
        }
    }
}

//! `timestamp()` and `duration()` of texts: read here, strictly and exactly. The interpreter's own readers take what
//! follows a duration for nothing (`1sx`), count it in doubles, and take a second 60 for a time.

use cel::common::types::{CelDuration, CelInt, CelString, CelTimestamp};
use cel::common::value::{CowVal, Val as CelVal};
use cel::{DeclarationError, Env, ExecutionError};
use chrono::TimeDelta;

use super::stock::{Outcome, dynamic, no_overload, stock};

/// The functions, and what stands in for them.
pub(super) const STAND_INS: &[(&str, &str)] = &[("timestamp", "@timestamp"), ("duration", "@duration")];

/// The accessor, called without a time zone, and what stands in for it.
pub(super) const MILLISECONDS: (&str, &str) = ("getMilliseconds", "@getMilliseconds");

/// Adds the functions to an environment.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("@timestamp", "@timestamp", dynamic(1), timestamp)?;
    env.add_overload("@duration", "@duration", dynamic(1), duration)?;
    env.add_overload(MILLISECONDS.1, MILLISECONDS.1, dynamic(1), milliseconds)
}

/// `x.getMilliseconds()`: for a duration too what is beyond its whole seconds, as the specification's tests have it.
/// The interpreter's own function gives all of its milliseconds.
fn milliseconds<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let milliseconds = if let Some(duration) = args[0].downcast_ref::<CelDuration>() {
        duration.inner().subsec_nanos() / 1_000_000
    } else if let Some(time) = args[0].downcast_ref::<CelTimestamp>() {
        time.inner().timestamp_subsec_millis() as i32
    } else {
        return Err(no_overload(MILLISECONDS.0, &args));
    };
    Ok(CowVal::owned(CelInt::from(i64::from(milliseconds))))
}

/// A time (RFC 3339, in UTC) or a duration (in seconds) as `string()` writes it; `None` where the value is neither.
pub(super) fn text(value: &(dyn CelVal + '_)) -> Option<String> {
    if value.downcast_ref::<CelTimestamp>().is_none() && value.downcast_ref::<CelDuration>().is_none() {
        return None;
    }
    let text = stock("string", vec![CowVal::Borrowed(value)]).ok()?;
    text.downcast_ref::<CelString>().map(|text| text.inner().to_owned())
}

fn timestamp<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    match args[0].downcast_ref::<CelString>() {
        Some(text) if !is_timestamp(text.inner()) => {
            Err(ExecutionError::function_error("timestamp", "this is no time of RFC 3339"))
        }
        _ => {
            let made = stock("timestamp", args)?;
            // The interpreter keeps the offset of the text, by which its accessors then count; CEL's count in UTC.
            let utc = made.downcast_ref::<CelTimestamp>().map(|time| time.inner().to_utc().fixed_offset());
            Ok(utc.map_or(made, |time| CowVal::owned(CelTimestamp::from(time))))
        }
    }
}

/// Whether a text has the shape of a `date-time` of RFC 3339 section 5.6, in capitals and without leap seconds; what
/// is no day of the calendar is found later.
fn is_timestamp(text: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let bytes = text.as_bytes();
    let Some((time, rest)) = bytes.split_at_checked(SHAPE.len()) else { return false };
    let fits = |byte: &u8, shape: &u8| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    if !time.iter().zip(SHAPE).all(|(byte, shape)| fits(byte, shape)) || time[17] > b'5' {
        return false;
    }
    let zone = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    match zone {
        b"Z" => true,
        [b'+' | b'-', offset @ ..] => {
            offset.len() == 5 && offset.iter().zip(b"00:00").all(|(byte, shape)| fits(byte, shape))
        }
        _ => false,
    }
}

fn duration<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let Some(text) = args[0].downcast_ref::<CelString>() else { return stock("duration", args) };
    match nanoseconds(text.inner()) {
        Some(nanoseconds) => Ok(CowVal::owned(CelDuration::from(TimeDelta::nanoseconds(nanoseconds)))),
        None => Err(ExecutionError::function_error("duration", "this is no duration, or too long a one")),
    }
}

/// A duration as Go writes it: a sign and numbers with units (`-1h30m`, `1.5s`, `2us`), or 0. What is less than a
/// nanosecond is cut off; about 292 years are the most.
fn nanoseconds(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum: i128 = 0;
    while !rest.is_empty() {
        let number =
            rest.len() - rest.trim_start_matches(|byte: char| byte == '.' || byte.is_ascii_digit()).len();
        let (whole, fraction) = match rest[..number].split_once('.') {
            Some((whole, fraction)) => (whole, fraction),
            None => (&rest[..number], ""),
        };
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        rest = &rest[number..];
        let unit;
        (unit, rest) = unit_of(rest)?;
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        sum = sum.checked_add(i128::from(whole) * unit)?;
        // Eighteen digits are more than an hour has nanoseconds.
        let digits = &fraction[..fraction.len().min(18)];
        if !digits.is_empty() {
            let scale = 10_i128.pow(digits.len() as u32);
            sum = sum.checked_add(digits.parse::<i128>().ok()? * unit / scale)?;
        }
    }
    i64::try_from(if negative { -sum } else { sum }).ok()
}

/// The unit at the beginning of a text, in nanoseconds, and what follows it.
fn unit_of(text: &str) -> Option<(i128, &str)> {
    const UNITS: &[(&str, i128)] = &[
        ("ns", 1),
        ("us", 1_000),
        ("\u{b5}s", 1_000),
        ("\u{3bc}s", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    UNITS.iter().find_map(|(name, unit)| Some((*unit, text.strip_prefix(name)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_exactly() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("1s", Some(1_000_000_000)),
            ("+1.5s", Some(1_500_000_000)),
            ("-1h30m", Some(-5_400_000_000_000)),
            (".5ms", Some(500_000)),
            ("1.us", Some(1_000)),
            ("1\u{b5}s1ns", Some(1_001)),
            ("1.9ns", Some(1)),
            ("0.0000000019s", Some(1)),
            ("0.123456789012s", Some(123_456_789)),
            ("1.000000000000000000000000001h", Some(3_600_000_000_000)),
            ("0.000000000001h", Some(3)),
            ("1ms1s", Some(1_001_000_000)),
            ("9223372036.854775807s", Some(i64::MAX)),
            ("-9223372036.854775808s", Some(i64::MIN)),
            ("9223372036.854775808s", None),
            ("99999999999999999999h", None),
            ("", None),
            ("-", None),
            ("1", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("1sx", None),
            ("1s ", None),
            (" 1s", None),
            ("1e3s", None),
            ("1d", None),
            ("--1s", None),
            ("infs", None),
        ] {
            assert_eq!(nanoseconds(text), wanted, "{text}");
        }
    }

    #[test]
    fn times_have_the_shape_of_the_standard() {
        for text in
            ["2009-02-13T23:31:30Z", "2009-02-13T23:31:30.5+01:00", "0001-01-01T00:00:00.123456789-23:59"]
        {
            assert!(is_timestamp(text), "{text}");
        }
        for text in [
            "2009-02-13T23:31:60Z",
            "2009-02-13t23:31:30Z",
            "2009-02-13 23:31:30Z",
            "2009-02-13T23:31:30z",
            "2009-02-13T23:31:30",
            "2009-02-13T23:31:30.Z",
            "2009-02-13T23:31:30.1234567890Z",
            "2009-02-13T23:31:30,5Z",
            "2009-02-13T23:31:30+0100",
            "2009-02-13T23:31Z",
            "2009-02-13",
            "+2009-02-13T23:31:30Z",
            "2009-02-13T23:31:30ZZ",
            "",
        ] {
            assert!(!is_timestamp(text), "{text}");
        }
    }
}

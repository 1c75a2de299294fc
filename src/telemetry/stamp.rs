//! A point in time as RFC 3339 text in UTC with milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;
/// The last second of the year 9999: RFC 3339 has no later one.
const LAST: u64 = 253_402_300_799;

/// Writes stamps; keeps the text of the last second, for lines come many to a second.
#[derive(Debug)]
pub(super) struct Stamp {
    second: u64,
    text: [u8; 20],
}

impl Stamp {
    /// A writer that has written nothing yet.
    pub(super) fn new() -> Stamp {
        Stamp { second: 0, text: render(0) }
    }

    /// Appends the time, as `2026-01-31T23:59:59.123Z`. What lies before 1970 is told as its first moment.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, at: SystemTime) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let second = since.as_secs().min(LAST);
        if second != self.second {
            *self = Stamp { second, text: render(second) };
        }
        let millis = since.subsec_millis();
        out.extend_from_slice(&self.text);
        out.extend_from_slice(&[digit(millis / 100), digit(millis / 10), digit(millis), b'Z']);
    }
}

/// A point in time as text.
pub fn rfc3339(at: SystemTime) -> String {
    let mut out = Vec::with_capacity(24);
    Stamp::new().push(&mut out, at);
    String::from_utf8(out).unwrap_or_default()
}

const fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

/// Days from 1970-01-01 to the first day of a year.
const fn days_before(year: u64) -> u64 {
    const fn leap_days(year: u64) -> u64 {
        year / 4 - year / 100 + year / 400
    }
    365 * (year - 1970) + leap_days(year - 1) - leap_days(1969)
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let mut year = 1970 + days / 366;
    while days_before(year + 1) <= days {
        year += 1;
    }
    let leap = u64::from(days_before(year + 1) - days_before(year) == 366);
    let mut day = days - days_before(year);
    let mut month = 1;
    for length in [31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

fn render(second: u64) -> [u8; 20] {
    let (year, month, day) = civil(second / DAY);
    let clock = second % DAY;
    let two = |number: u64| [digit((number / 10) as u32), digit(number as u32)];
    let [century, decade] = [two(year / 100), two(year % 100)];
    let [month, day] = [two(month), two(day)];
    let [hour, minute, second] = [two(clock / 3600), two(clock / 60 % 60), two(clock % 60)];
    [
        century[0], century[1], decade[0], decade[1], b'-', month[0], month[1], b'-', day[0], day[1], b'T',
        hour[0], hour[1], b':', minute[0], minute[1], b':', second[0], second[1], b'.',
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(millis: u64) -> String {
        let mut out = Vec::new();
        Stamp::new().push(&mut out, UNIX_EPOCH + Duration::from_millis(millis));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_moments() {
        assert_eq!(told(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(told(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(told(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(told(1_735_689_599_042), "2024-12-31T23:59:59.042Z");
        assert_eq!(told(4_107_542_400_007), "2100-03-01T00:00:00.007Z");
        assert_eq!(told(253_402_300_799_000), "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = civil(0);
        for day in 1..200_000 {
            let (year, month, date) = civil(day);
            let next = before.0 == year && before.1 == month && before.2 + 1 == date
                || before.0 == year && before.1 + 1 == month && date == 1
                || before.0 + 1 == year && before.1 == 12 && month == 1 && date == 1;
            assert!(next, "{before:?} then {:?}", (year, month, date));
            before = (year, month, date);
        }
    }

    #[test]
    fn what_cannot_be_told_is_clamped() {
        let mut out = Vec::new();
        let mut stamp = Stamp::new();
        stamp.push(&mut out, UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(out, b"1970-01-01T00:00:00.000Z");
        out.clear();
        stamp.push(&mut out, UNIX_EPOCH + Duration::from_secs(LAST + 5));
        assert_eq!(out, b"9999-12-31T23:59:59.000Z");
    }
}

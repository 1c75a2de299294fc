//! Numbers as JSON text writes them: no digit is lost, and two numbers are equal only if their values are.
//!
//! There are three kinds. An integer without fraction and exponent that fits 64 bits is an `int` or `uint`. Another
//! number whose value a double writes back in its shortest form is also a double. What is left is known by its text
//! alone: it can be compared and passed on, but nothing can be calculated with it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// A number of a JSON text.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonNumber<'a> {
    /// An integer that fits; its text is its shortest decimal form.
    Int(i64),
    /// An integer above the range of [`JsonNumber::Int`].
    Uint(u64),
    /// Any other number.
    Decimal(Decimal<'a>),
}

/// A number that is known by its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Decimal<'a> {
    text: Cow<'a, str>,
    double: Option<f64>,
}

impl<'a> JsonNumber<'a> {
    /// Reads a text that is a JSON number and nothing else.
    pub fn parse(text: &'a str) -> Option<JsonNumber<'a>> {
        (number_length(text.as_bytes())? == text.len()).then(|| JsonNumber::of(text))
    }

    /// Reads the text of a JSON number, whose grammar has been checked.
    pub fn of(text: &'a str) -> JsonNumber<'a> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if text != "-0" && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            if let Ok(int) = text.parse() {
                return JsonNumber::Int(int);
            }
            if let Ok(uint) = text.parse() {
                return JsonNumber::Uint(uint);
            }
        }
        JsonNumber::Decimal(Decimal { text: Cow::Borrowed(text), double: exact_double(text) })
    }

    /// A double that was calculated; `None` for infinities and NaN, which JSON does not have.
    pub fn of_double(double: f64) -> Option<JsonNumber<'static>> {
        let text = serde_json::Number::from_f64(double)?.to_string();
        Some(JsonNumber::Decimal(Decimal { text: Cow::Owned(text), double: Some(double) }))
    }

    /// The same, independent of the text it was read from.
    pub fn into_owned(self) -> JsonNumber<'static> {
        match self {
            JsonNumber::Int(int) => JsonNumber::Int(int),
            JsonNumber::Uint(uint) => JsonNumber::Uint(uint),
            JsonNumber::Decimal(decimal) => JsonNumber::Decimal(decimal.into_owned()),
        }
    }

    /// The nearest finite double, digits lost or not: for numbers that name nothing, such as times and costs.
    pub fn approximate(&self) -> Option<f64> {
        let double = match self {
            JsonNumber::Int(int) => *int as f64,
            JsonNumber::Uint(uint) => *uint as f64,
            JsonNumber::Decimal(decimal) => decimal.text.parse().ok()?,
        };
        double.is_finite().then_some(double)
    }
}

impl fmt::Display for JsonNumber<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonNumber::Int(int) => int.fmt(f),
            JsonNumber::Uint(uint) => uint.fmt(f),
            JsonNumber::Decimal(decimal) => f.write_str(&decimal.text),
        }
    }
}

impl<'a> Decimal<'a> {
    /// The text as it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as it came.
    pub fn into_text(self) -> Cow<'a, str> {
        self.text
    }

    /// The double of the same value, if there is one.
    pub fn double(&self) -> Option<f64> {
        self.double
    }

    /// The same, borrowed.
    pub fn borrowed(&self) -> Decimal<'_> {
        Decimal { text: Cow::Borrowed(&self.text), double: self.double }
    }

    /// The same, independent of the text it was read from.
    pub fn into_owned(self) -> Decimal<'static> {
        Decimal { text: Cow::Owned(self.text.into_owned()), double: self.double }
    }

    /// How it compares with others.
    pub fn magnitude(&self) -> Magnitude<'_> {
        match self.double {
            Some(double) => Magnitude::Double(double),
            None => Magnitude::Text(&self.text),
        }
    }
}

/// How many bytes the JSON number has that the text begins with (RFC 8259 section 6); `None` where it begins with none.
pub fn number_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let start = usize::from(text.first() == Some(&b'-'));
    let mut end = match (digits(start), text.get(start)) {
        (0, _) => return None,
        (many, Some(b'0')) if many > 1 => return None,
        (many, _) => start + many,
    };
    if text.get(end) == Some(&b'.') {
        end = Some(digits(end + 1)).filter(|many| *many > 0)? + end + 1;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        end += 1 + usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        end += Some(digits(end)).filter(|many| *many > 0)?;
    }
    Some(end)
}

/// A number as it is compared: by its exact value. A double stands for its shortest decimal form.
#[derive(Clone, Copy, Debug)]
pub enum Magnitude<'a> {
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A double.
    Double(f64),
    /// A number that only its text can hold.
    Text(&'a str),
}

/// Up to here every integer is a double.
const DOUBLES_ARE_EXACT: u64 = 1 << 53;

impl Magnitude<'_> {
    /// Compares values; `None` where one is NaN, or has an exponent beyond 64 bits.
    pub fn compare(self, other: Magnitude<'_>) -> Option<Ordering> {
        use Magnitude::{Double, Int, Text, Uint};
        match (self, other) {
            (Int(a), Int(b)) => Some(a.cmp(&b)),
            (Uint(a), Uint(b)) => Some(a.cmp(&b)),
            (Int(a), Uint(b)) => Some(u64::try_from(a).map_or(Ordering::Less, |a| a.cmp(&b))),
            (Uint(_), Int(_)) => other.compare(self).map(Ordering::reverse),
            (Double(a), Double(b)) => a.partial_cmp(&b),
            (Int(a), Double(b)) if a.unsigned_abs() <= DOUBLES_ARE_EXACT => (a as f64).partial_cmp(&b),
            (Uint(a), Double(b)) if a <= DOUBLES_ARE_EXACT => (a as f64).partial_cmp(&b),
            (Double(_), Int(_) | Uint(_)) => other.compare(self).map(Ordering::reverse),
            (Text(a), Text(b)) if a == b => Some(Ordering::Equal),
            (Double(infinite), _) if infinite.is_infinite() => infinite.partial_cmp(&0.0),
            (_, Double(infinite)) if infinite.is_infinite() => 0.0.partial_cmp(&infinite),
            _ => Some(self.digits()?.compare(&other.digits()?)),
        }
    }

    /// Whether both are the same number.
    pub fn equals(self, other: Magnitude<'_>) -> bool {
        self.compare(other) == Some(Ordering::Equal)
    }

    fn digits(self) -> Option<Digits> {
        match self {
            Magnitude::Int(int) => Digits::of(itoa::Buffer::new().format(int)),
            Magnitude::Uint(uint) => Digits::of(itoa::Buffer::new().format(uint)),
            Magnitude::Double(double) => Digits::of(&format!("{double:e}")),
            Magnitude::Text(text) => Digits::of(text),
        }
    }
}

/// Without an exponent, so many characters are a double whatever they are: it holds 15 digits.
const ALWAYS_EXACT: usize = 15;

/// The double that a decimal text stands for, if no digit of it is lost.
pub fn exact_double(text: &str) -> Option<f64> {
    let double: f64 = text.parse().ok().filter(|double: &f64| double.is_finite())?;
    if text.len() <= ALWAYS_EXACT && !text.bytes().any(|byte| matches!(byte, b'e' | b'E')) {
        return Some(double);
    }
    let same = Digits::of(text)?.compare(&Digits::of(&format!("{double:e}"))?) == Ordering::Equal;
    same.then_some(double)
}

/// A decimal number taken apart: `0.DIGITS` times ten to the power of `point`, without zeros at either end.
struct Digits {
    negative: bool,
    digits: Vec<u8>,
    point: i64,
}

impl Digits {
    fn of(text: &str) -> Option<Digits> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [whole.as_bytes(), fraction.as_bytes()].concat();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Digits { negative: false, digits, point: 0 });
        }
        let places = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        Some(Digits { negative, digits, point: places.checked_add(exponent)? })
    }

    fn compare(&self, other: &Digits) -> Ordering {
        let sign = |number: &Digits| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = || self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => size(),
            _ => size().reverse(),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;

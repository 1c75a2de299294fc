//! Small grammars that header fields share (RFC 9110 section 5.6).

use std::borrow::Cow;

/// A number of digits alone, at least one; beyond the range it is the largest number.
pub fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(text.iter().fold(0, add))
}

/// The quoted string that `text` begins with (RFC 9110 section 5.6.4), without its quotes and escapes, and what follows
/// it. `None` where it begins with none, or that has no end.
pub fn quoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut value = Cow::Borrowed(&text[..0]);
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some((value, &text[at + 1..])),
            b'\\' => {
                at += 1;
                value.to_mut().push(*text.get(at)?);
            }
            byte => match &mut value {
                Cow::Borrowed(plain) => *plain = &text[..=at],
                Cow::Owned(text) => text.push(*byte),
            },
        }
        at += 1;
    }
}

/// A value that is a token or a quoted string: the latter without its quotes and escapes, anything else as it stands.
pub fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    match quoted(value) {
        Some((value, [])) => value,
        _ => Cow::Borrowed(value),
    }
}

/// A quoted string has no end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unclosed;

/// Where `wanted` first stands outside of quoted strings.
///
/// # Errors
/// A quoted string before it has no end.
pub fn find_unquoted(text: &[u8], wanted: u8) -> Result<Option<usize>, Unclosed> {
    let (mut quoted, mut at) = (false, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            _ if byte == wanted && !quoted => return Ok(Some(at)),
            _ => {}
        }
        at += 1;
    }
    if quoted { Err(Unclosed) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_number_that_never_overflows() {
        for (text, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", Some(u64::MAX)),
            ("99999999999999999999999999999999", Some(u64::MAX)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            (" 1", None),
            ("1a", None),
        ] {
            assert_eq!(digits(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn a_quoted_string_is_read_to_its_own_end() {
        let read = |text: &'static str| {
            let (value, rest) = quoted(text.as_bytes())?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            Some((text(&value), text(rest)))
        };
        for (text, value, rest) in [
            (r#""""#, "", ""),
            (r#""a b,c";d"#, "a b,c", ";d"),
            (r#""a\"b\\c" "#, r#"a"b\c"#, " "),
            (r#""\a""#, "a", ""),
        ] {
            assert_eq!(read(text), Some((value.to_owned(), rest.to_owned())), "{text}");
        }
        for text in ["", "a", "\"", "\"a", r#""a\""#, r#""a\"#, "a\"b\""] {
            assert_eq!(read(text), None, "{text}");
        }
        // Nothing is copied without need.
        assert!(matches!(quoted(b"\"plain\""), Some((Cow::Borrowed(b"plain"), b""))));
    }

    #[test]
    fn a_value_loses_its_quotes_only_where_they_are_its_whole() {
        for (value, plain) in [
            ("a", "a"),
            ("\"60\"", "60"),
            (r#""6\0""#, "60"),
            ("\"", "\""),
            ("\"a", "\"a"),
            ("\"a\"b", "\"a\"b"),
            ("\"a\"b\"", "\"a\"b\""),
            ("", ""),
        ] {
            assert_eq!(&*unquoted(value.as_bytes()), plain.as_bytes(), "{value}");
        }
    }

    #[test]
    fn what_stands_in_quotes_is_not_found() {
        for (text, at) in [
            ("", Ok(None)),
            ("a,b", Ok(Some(1))),
            ("\"a,b\",c", Ok(Some(5))),
            (r#""a\",b",c"#, Ok(Some(7))),
            (r"a\,b", Ok(Some(2))),
            ("\"a,b\"", Ok(None)),
            ("\"a,b", Err(Unclosed)),
            ("a,\"b", Ok(Some(1))),
        ] {
            assert_eq!(find_unquoted(text.as_bytes(), b','), at, "{text}");
        }
    }
}

//! Dates of HTTP.

use std::time::SystemTime;

/// A date of HTTP, in any of its three forms (RFC 9110 section 5.6.7); `None` where the value is none.
pub fn http_date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_in_each_of_its_forms() {
        let forms =
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"];
        for form in forms {
            let since = http_date(form.as_bytes()).unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            assert_eq!(since.as_secs(), 784_111_777, "{form}");
        }
        for none in [&b""[..], b"0", b"784111777", b"Sun, 06 Nov 1994 08:49:37 CET", b"\xff"] {
            assert_eq!(http_date(none), None, "{none:?}");
        }
    }
}

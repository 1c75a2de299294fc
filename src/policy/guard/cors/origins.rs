//! Which origins a policy names.

use crate::config::OriginPattern;

/// The origins that may ask.
#[derive(Debug)]
pub enum Origins {
    /// Every one, told as `*`: what is answered depends on nobody.
    Any,
    /// These; each is told its own name.
    Some(Vec<OriginPattern>),
}

impl Origins {
    /// The origins of a list; `*` in it means all of them.
    pub fn new(list: Vec<OriginPattern>) -> Origins {
        if list.contains(&OriginPattern::Any) { Origins::Any } else { Origins::Some(list) }
    }

    /// Whether every origin may ask.
    pub fn is_any(&self) -> bool {
        matches!(self, Origins::Any)
    }

    /// What `access-control-allow-origin` says to a request of this origin; none where it may not ask, or where the
    /// request has no origin to be told.
    pub fn permitted<'a>(&self, origin: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match self {
            // Always the same line, also where nobody asks: caches may keep one answer for all (Fetch, "CORS protocol
            // and HTTP caches").
            Origins::Any => Some(b"*"),
            Origins::Some(list) => {
                origin.filter(|origin| list.iter().any(|pattern| matches(pattern, origin)))
            }
        }
    }
}

/// Byte for byte, as browsers compare them.
fn matches(pattern: &OriginPattern, origin: &[u8]) -> bool {
    match pattern {
        OriginPattern::Any => true,
        OriginPattern::Null => origin == b"null",
        OriginPattern::Exact(text) => origin == text.as_bytes(),
        OriginPattern::Below { scheme, end } => origin
            .strip_prefix(scheme.as_bytes())
            .and_then(|host| host.strip_suffix(end.as_bytes()))
            .is_some_and(are_labels),
    }
}

/// Whether the bytes are labels of a host and nothing else: `evil.test/` before `.example.com` is none.
fn are_labels(text: &[u8]) -> bool {
    let letter =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    text.split(|byte| *byte == b'.').all(|label| !label.is_empty() && label.iter().all(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(end: &str) -> Origins {
        Origins::new(vec![OriginPattern::Below { scheme: "https://".into(), end: end.into() }])
    }

    #[test]
    fn what_stands_below_a_name_is_one_label_or_more() {
        let origins = below(".example.com");
        for good in
            ["https://a.example.com", "https://a.b-1.example.com", "https://xn--bcher-kva.example.com"]
        {
            assert_eq!(origins.permitted(Some(good.as_bytes())), Some(good.as_bytes()), "{good}");
        }
        for bad in [
            "https://example.com",
            "https://.example.com",
            "https://a..example.com",
            "https://aexample.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://a.example.com.evil.test",
            "https://evil.test/.example.com",
            "https://evil.test#.example.com",
            "https://evil.test:1.example.com",
            "https://me@a.example.com",
            "https://A.example.com",
            "https://a.example.com ",
            "https://a.example.com, https://b.example.com",
            "null",
            "*",
            "",
        ] {
            assert_eq!(origins.permitted(Some(bad.as_bytes())), None, "{bad}");
        }
        assert!(below(".example.com:8443").permitted(Some(b"https://a.example.com:8443")).is_some());
        assert!(below(".example.com:8443").permitted(Some(b"https://a.example.com")).is_none());
    }

    #[test]
    fn null_is_an_origin_only_where_it_is_written() {
        let exact = || OriginPattern::Exact("https://app.test".into());
        assert_eq!(Origins::new(vec![exact()]).permitted(Some(b"null")), None);
        let both = Origins::new(vec![exact(), OriginPattern::Null]);
        assert_eq!(both.permitted(Some(b"null")), Some(&b"null"[..]));
        assert_eq!(both.permitted(Some(b"https://app.test")), Some(&b"https://app.test"[..]));
        assert_eq!(both.permitted(None), None, "nobody to be told");
    }

    #[test]
    fn every_origin_is_one_word() {
        let any = Origins::new(vec![OriginPattern::Any]);
        for origin in [None, Some(&b"https://app.test"[..]), Some(b"null")] {
            assert_eq!(any.permitted(origin), Some(&b"*"[..]));
        }
    }
}

//! The field `Forwarded` (RFC 7239 section 4), read strictly: what is not in its form is refused whole, because a client
//! can write an open quote in front of what its proxy adds.

use std::borrow::Cow;

use crate::exchange::headers::is_token;
use crate::exchange::syntax::quoted;

/// What one proxy says of the hop that reached it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// `for`: who sent the request to the proxy.
    pub(super) node: Option<Cow<'a, [u8]>>,
    /// `host`: whom it asked for.
    pub(super) host: Option<Cow<'a, [u8]>>,
    /// `proto`: by which scheme.
    pub(super) proto: Option<Cow<'a, [u8]>>,
    has_pair: bool,
}

impl<'a> Element<'a> {
    /// Takes a pair; `None` where the parameter has been there.
    fn set(&mut self, name: &[u8], value: Cow<'a, [u8]>) -> Option<()> {
        self.has_pair = true;
        let slot = match () {
            () if name.eq_ignore_ascii_case(b"for") => &mut self.node,
            () if name.eq_ignore_ascii_case(b"host") => &mut self.host,
            () if name.eq_ignore_ascii_case(b"proto") => &mut self.proto,
            () => return Some(()),
        };
        slot.replace(value).is_none().then_some(())
    }
}

/// The elements of all lines, in order; `None` where a line is not in its form.
pub(super) fn read<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Element<'a>>> {
    let mut out = Vec::new();
    for line in lines {
        elements(line, &mut out)?;
    }
    Some(out)
}

fn elements<'a>(line: &'a [u8], out: &mut Vec<Element<'a>>) -> Option<()> {
    let (mut rest, mut element) = (line, Element::default());
    loop {
        rest = rest.trim_ascii_start();
        match rest.first() {
            None | Some(b',') => {
                let whole = std::mem::take(&mut element);
                out.extend(Some(whole).filter(|whole| whole.has_pair));
                let Some((_, behind)) = rest.split_first() else { return Some(()) };
                rest = behind;
            }
            Some(b';') => rest = &rest[1..],
            Some(_) => {
                let (name, behind) = token(rest)?;
                let (value, behind) = value(behind.strip_prefix(b"=")?)?;
                element.set(name, value)?;
                rest = behind.trim_ascii_start();
                if !matches!(rest.first(), None | Some(b',' | b';')) {
                    return None;
                }
            }
        }
    }
}

/// A token of at least one byte, and what stands behind it.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token, or what stands in quotes (RFC 9110 section 5.6.4).
fn value(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    if text.first() == Some(&b'"') {
        return quoted(text);
    }
    token(text).map(|(value, rest)| (Cow::Borrowed(value), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `for host proto` of every element, with `-` where one is absent.
    fn texts_of(lines: &[&str]) -> Option<Vec<String>> {
        let text = |value: &Option<Cow<'_, [u8]>>| {
            value.as_ref().map_or("-".to_owned(), |value| String::from_utf8_lossy(value).into_owned())
        };
        let elements = read(lines.iter().map(|line| line.as_bytes()))?;
        let all = elements.iter().map(|element| {
            format!("{} {} {}", text(&element.node), text(&element.host), text(&element.proto))
        });
        Some(all.collect())
    }

    #[test]
    fn elements_are_read_whatever_their_form() {
        for (lines, elements) in [
            (&["for=192.0.2.43"][..], &["192.0.2.43 - -"][..]),
            (&["For=\"[2001:db8:cafe::17]:4711\""], &["[2001:db8:cafe::17]:4711 - -"]),
            (&["for=192.0.2.60;proto=http;by=203.0.113.43;host=a.test"], &["192.0.2.60 a.test http"]),
            (&["for=a, for=b ; PROTO=https,proto=http"], &["a - -", "b - https", "- - http"]),
            (&["for=a", "for=b"], &["a - -", "b - -"]),
            (&["", " , ,;; ,"], &[]),
            (&["by=_x"], &["- - -"]),
            (&["for=\"a,for=b;host=c\";host=\"d:80\""], &["a,for=b;host=c d:80 -"]),
            (&[r#"for="a\"b\\c";x="\"""#], &[r#"a"b\c - -"#]),
            (&["for=\"\";secret=a;secret=b"], &[" - -"]),
        ] {
            assert_eq!(
                texts_of(lines).as_deref(),
                Some(elements.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>().as_slice()),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn what_is_not_in_its_form_is_refused() {
        for line in [
            "for",
            "for=",
            "=a",
            "for =a",
            "for= a",
            "for=a b",
            "for=a:80",
            "for=[::1]",
            "for=\"a",
            "for=\"a\\",
            "for=\"a\"b",
            "for=a;for=b",
            "proto=http;host=a;PROTO=https",
            "for=\", for=192.0.2.1",
        ] {
            assert_eq!(texts_of(&[line]), None, "{line}");
            assert_eq!(texts_of(&["for=a", line]), None, "{line}");
        }
    }
}

//! Header lines of one section: split by `httparse`, judged, and sorted into what travels and what is for us.
//!
//! `httparse` refuses what is no token before the colon, blanks there, folded lines, control bytes in values and a CR
//! alone; a line feed alone, which it would take for a line's end, [`super::line::section`] has refused before.

use httparse::{EMPTY_HEADER, Header};
use smallvec::SmallVec;

use super::line::Section;
use crate::exchange::{HeaderId, Headers};

/// Most header names that Connection lines may list beside the options that the gate knows.
const MAX_NAMED: usize = 32;

/// Room made beside the lines that came, for those the gate adds.
const SPARE: (usize, usize) = (8, 384);

/// What the lines that do not travel have said.
#[derive(Default)]
pub(super) struct Facts<'a> {
    /// Host lines; the last of them.
    pub(super) hosts: usize,
    pub(super) host: &'a [u8],
    /// The one Content-Length.
    pub(super) length: Option<u64>,
    /// The one Transfer-Encoding, which is `chunked`.
    pub(super) chunked: bool,
    /// Connection options.
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// Whether there is an Upgrade line.
    pub(super) protocol: bool,
    /// Whether `100-continue` is expected, and whether anything else is.
    pub(super) expects: bool,
    pub(super) expects_other: bool,
    named: usize,
}

/// Fills `out` with the lines that travel. `bytes` is exactly the section.
///
/// # Errors
/// The reason, where a line breaks the grammar or the framing is not plain.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    section: Section,
    out: &mut Headers,
) -> Result<Facts<'a>, &'static str> {
    out.clear();
    out.reserve(section.lines + SPARE.0, bytes.len() + section.lines + SPARE.1);
    // Most heads fit the small table: clearing a larger one would cost more than reading them.
    match section.lines {
        0..=8 => sort(bytes, split(bytes, &mut [EMPTY_HEADER; 8][..section.lines])?, out),
        9..=20 => sort(bytes, split(bytes, &mut [EMPTY_HEADER; 20][..section.lines])?, out),
        21..=128 => sort(bytes, split(bytes, &mut [EMPTY_HEADER; 128][..section.lines])?, out),
        lines => sort(bytes, split(bytes, &mut vec![EMPTY_HEADER; lines])?, out),
    }
}

/// Splits lines into names and values without the blanks around them.
///
/// # Errors
/// The reason, where a line breaks the grammar.
pub(super) fn split<'a, 'h>(
    bytes: &'a [u8],
    table: &'h mut [Header<'a>],
) -> Result<&'h [Header<'a>], &'static str> {
    match httparse::parse_headers(bytes, table) {
        Ok(httparse::Status::Complete((len, lines))) if len == bytes.len() => Ok(lines),
        Err(httparse::Error::HeaderName) => Err("bad header name"),
        Err(httparse::Error::HeaderValue) => Err("bad header value"),
        _ => Err("bad header line"),
    }
}

/// Fills `out` with the lines that travel, from the one copy of their section where they are written as the gate would
/// write them: a colon, one blank, and none at the end.
fn sort<'a>(bytes: &[u8], lines: &[Header<'a>], out: &mut Headers) -> Result<Facts<'a>, &'static str> {
    let mut facts = Facts::default();
    let held = out.hold(bytes);
    let mut start = 0;
    for line in lines {
        let name = line.name.as_bytes();
        if name.len() > usize::from(u16::MAX) {
            return Err("bad header name");
        }
        let colon = start + name.len();
        let end = colon + 2 + line.value.len();
        let is_plain = bytes.get(colon + 1) == Some(&b' ') && bytes.get(end..end + 2) == Some(b"\r\n");
        // Adding tells the id; the few lines that do not travel are taken back.
        let mut id = if is_plain {
            let held = held + start..held + end + 2;
            start = end + 2;
            out.push_held(held, name.len())
        } else {
            start = memchr::memchr(b'\n', &bytes[colon..]).map_or(bytes.len(), |end| colon + end + 1);
            out.push_judged(name, line.value)
        };
        if id == HeaderId::Other && name.contains(&b'_') {
            id = HeaderId::folded(name);
        }
        if id.hop_by_hop() || matches!(id, HeaderId::ContentLength | HeaderId::Expect) {
            out.pop();
            facts.take(id, line)?;
        } else if id == HeaderId::Host {
            facts.hosts += 1;
            facts.host = line.value;
        }
    }
    if facts.chunked && facts.length.is_some() {
        return Err("content-length with transfer-encoding");
    }
    if facts.named > 0 {
        drop_named(lines, facts.named, out)?;
    }
    Ok(facts)
}

impl<'a> Facts<'a> {
    fn take(&mut self, id: HeaderId, line: &Header<'a>) -> Result<(), &'static str> {
        match id {
            HeaderId::ContentLength => {
                // Two equal lines are refused as well: who sends them has lost track of the framing.
                let known = self.length.replace(length(line.value).ok_or("bad content-length")?);
                if known.is_some() || line.name.contains('_') {
                    return Err("bad content-length");
                }
            }
            HeaderId::TransferEncoding => {
                let plain = line.value.eq_ignore_ascii_case(b"chunked");
                if self.chunked || !plain || line.name.contains('_') {
                    return Err("bad transfer-encoding");
                }
                self.chunked = true;
            }
            HeaderId::Connection => {
                for option in options(line.value) {
                    match option.len() {
                        0 => {}
                        5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                        10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                        7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                        _ => self.named += 1,
                    }
                }
            }
            HeaderId::Upgrade => self.protocol = true,
            HeaderId::Expect if line.value.eq_ignore_ascii_case(b"100-continue") => self.expects = true,
            HeaderId::Expect => self.expects_other = true,
            _ => {}
        }
        Ok(())
    }
}

/// The members of a list without the blanks around them.
fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Takes out what Connection names. Where a message is meant for and what it carries are not the connection's to say.
fn drop_named(lines: &[Header<'_>], named: usize, out: &mut Headers) -> Result<(), &'static str> {
    if named > MAX_NAMED {
        return Err("too many connection options");
    }
    let names: SmallVec<[&[u8]; 8]> = lines
        .iter()
        .filter(|line| line.name.eq_ignore_ascii_case(HeaderId::Connection.name()))
        .flat_map(|line| options(line.value))
        .collect();
    out.retain(|id, name, _| {
        matches!(id, HeaderId::Host | HeaderId::ContentType)
            || !names.iter().any(|named| named.eq_ignore_ascii_case(name))
    });
    Ok(())
}

/// A Content-Length: digits alone (RFC 9110 section 8.6).
fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

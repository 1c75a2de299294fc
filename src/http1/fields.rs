//! Header lines of one section: split, judged, and sorted into what travels and what is for us.

use smallvec::SmallVec;

use super::HeadError;
use super::line;
use crate::exchange::headers::{LowerName, is_token};
use crate::exchange::{HeaderId, Headers};

/// Most members that Connection lines may list, empty ones included.
const MAX_MEMBERS: usize = 32;

/// Who wrote a section.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// A client. What another reader of its request might take for framing is judged as framing.
    Client,
    /// A service: a name written with `_` frames nothing for it, and for no reader of an answer.
    Service,
}

/// A section in so many bytes is read without looking for its end first.
const SHORT: usize = 1024;

/// Room made at once: for most heads, and for the lines that the gate adds.
const LINES: usize = 24;
const BYTES: usize = 4096;
/// The same of an answer, behind which its body may stand: an answer that waits for its client is kept with this room.
const ANSWER: usize = 1024;
const SPARE: usize = 384;

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
    /// Whether there are Upgrade lines, and whether there are Trailer lines.
    pub(super) protocol: bool,
    pub(super) trailer: bool,
    /// Whether trailers are welcome (`TE: trailers`).
    pub(super) takes_trailers: bool,
    /// Whether `100-continue` is expected, and whether anything else is.
    pub(super) expects: bool,
    pub(super) expects_other: bool,
    /// Members of Connection lines.
    members: usize,
}

/// What Connection lines list in addition to the options that the gate knows.
type Named<'a> = SmallVec<[&'a [u8]; 4]>;

/// Fills `out` with the lines that travel of the section that `window` begins with; says how long it is with its blank
/// line. `None` where its end has not come yet.
///
/// # Errors
/// More lines than `max`, a line that breaks the grammar, or framing that is not plain. Of a section without its end
/// only what [`line::section`] says.
pub(super) fn read<'a>(
    window: &'a [u8],
    max: usize,
    writer: Writer,
    out: &mut Headers,
) -> Result<Option<(Facts<'a>, usize)>, HeadError> {
    // Whether a long one is whole costs less to see than to find out by reading it again with every piece.
    if window.len() > SHORT && line::section(window, max)?.is_none() {
        return Ok(None);
    }
    match sort(window, max, writer, out) {
        Ok(read) => Ok(Some(read)),
        Err(why) => refuse(window, max, why),
    }
}

/// Says what is wrong with a section once it is whole, so that it does not depend on how the bytes were cut: the grammar
/// of any line comes before what a line means.
#[cold]
fn refuse<T>(window: &[u8], max: usize, why: &'static str) -> Result<Option<T>, HeadError> {
    if line::section(window, max)?.is_none() {
        return Ok(None);
    }
    let mut at = 0;
    while let Some(line) = next(&window[at..]).map_err(HeadError::Malformed)? {
        at += line.len;
    }
    Err(HeadError::Malformed(why))
}

fn sort<'a>(
    window: &'a [u8],
    max: usize,
    writer: Writer,
    out: &mut Headers,
) -> Result<(Facts<'a>, usize), &'static str> {
    out.clear();
    let bytes = if writer == Writer::Client { BYTES } else { ANSWER };
    out.reserve(LINES, window.len().min(bytes) + SPARE);
    let mut facts = Facts::default();
    let mut named = Named::new();
    let (mut at, mut left) = (0, max);
    while let Some(line) = split(&window[at..])? {
        left = left.checked_sub(1).ok_or("too many header lines")?;
        at += line.len;
        let id = line.id();
        let meant =
            if id == HeaderId::Other && line.name.contains(&b'_') { HeaderId::folded(line.name) } else { id };
        if meant.hop_by_hop() || matches!(meant, HeaderId::ContentLength | HeaderId::Expect) {
            if writer == Writer::Client || meant == id {
                facts.take(meant, &line, &mut named)?;
            }
            continue;
        }
        if meant == HeaderId::Host {
            facts.hosts += 1;
            facts.host = line.value;
        }
        line.push(out);
    }
    if facts.chunked && facts.length.is_some() {
        return Err("content-length with transfer-encoding");
    }
    if !named.is_empty() {
        drop_named(&named, out);
    }
    Ok((facts, at + 2))
}

/// Adds the lines with one of these ids, which do not travel by themselves, of a section that was read before.
pub(super) fn keep(window: &[u8], kept: HeaderId, out: &mut Headers) {
    each(window, kept, |value| out.push_id(kept, value));
}

/// Calls a function with the value of each line of that id, of a section that was read before.
#[cold]
pub(super) fn each<'a>(window: &'a [u8], id: HeaderId, mut call: impl FnMut(&'a [u8])) {
    let mut at = 0;
    while let Ok(Some(line)) = split(&window[at..]) {
        at += line.len;
        if line.id() == id {
            call(line.value);
        }
    }
}

/// One line, split.
pub(super) struct Line<'a> {
    /// The name as it came.
    pub(super) name: &'a [u8],
    /// The value without the blanks around it.
    pub(super) value: &'a [u8],
    /// The bytes of the line with its CRLF.
    pub(super) len: usize,
    /// The name in lower case, unless it is longer than any known one.
    lower: Option<(LowerName, HeaderId)>,
    /// The line from its colon on, where that is written as the gate writes it.
    rest: Option<&'a [u8]>,
}

impl Line<'_> {
    fn id(&self) -> HeaderId {
        self.lower.as_ref().map_or(HeaderId::Other, |(_, id)| *id)
    }

    fn push(&self, out: &mut Headers) {
        match (&self.lower, self.rest) {
            (Some((name, id)), Some(rest)) => out.push_line(name, *id, rest),
            _ => drop(out.push_judged(self.name, self.value)),
        }
    }
}

/// Splits off the line that `bytes` begin with; `None` where that is the blank one.
///
/// # Errors
/// The reason, where it is not a token, a colon and a value that ends with CRLF and holds no other control bytes than tabs
/// (RFC 9112 section 5, RFC 9110 section 5.5): blanks before the colon, folded lines and a CR or LF alone are refused.
pub(super) fn next(bytes: &[u8]) -> Result<Option<Line<'_>>, &'static str> {
    split(bytes)
}

// Inlined where all heads are read: handing a line over costs as much as a third of reading it.
#[inline(always)]
fn split(bytes: &[u8]) -> Result<Option<Line<'_>>, &'static str> {
    match bytes {
        [b'\r', b'\n', ..] => return Ok(None),
        [] | [b'\r', ..] => return Err("bad header line"),
        _ => {}
    }
    let lower = LowerName::read(bytes);
    let colon = lower.as_ref().map_or_else(|| token(bytes), |(name, _)| name.len());
    if colon == 0 || colon > usize::from(u16::MAX) || bytes.get(colon) != Some(&b':') {
        return Err("bad header name");
    }
    let end = value_end(bytes, colon + 1)?;
    let (raw, len) = (&bytes[colon + 1..end], end + 2);
    let (value, rest) = match raw {
        [b' ', value @ ..] if !value.first().is_some_and(is_blank) && !value.last().is_some_and(is_blank) => {
            (value, Some(&bytes[colon..len]))
        }
        raw => (trim(raw), None),
    };
    Ok(Some(Line { name: &bytes[..colon], value, len, lower, rest }))
}

/// How many bytes of a token `bytes` begin with.
#[cold]
fn token(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_token(*byte)).unwrap_or(bytes.len())
}

/// Where the CRLF stands that ends the value which begins at `start`.
#[inline]
fn value_end(bytes: &[u8], start: usize) -> Result<usize, &'static str> {
    let mut at = start;
    loop {
        at += control(&bytes[at..]).ok_or("bad header line")?;
        match &bytes[at..] {
            [b'\r', b'\n', ..] => return Ok(at),
            [b'\t', ..] => at += 1,
            _ => return Err("bad header value"),
        }
    }
}

/// Where the first control byte stands, a tab or not.
#[inline]
fn control(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        // The high bit of each byte below 0x20, and of each 0x7f. A borrow can reach only bytes behind the first found.
        let word = u64::from_le_bytes(*word);
        let low = word.wrapping_sub(ONES * 0x20) & !word;
        let delete = word ^ (ONES * 0x7f);
        let found = (low | (delete.wrapping_sub(ONES) & !delete)) & HIGH;
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(u8::is_ascii_control)?;
    Some(words.len() * 8 + at)
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_blank(first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_blank(last)
    {
        value = rest;
    }
    value
}

impl<'a> Facts<'a> {
    fn take(&mut self, id: HeaderId, line: &Line<'a>, named: &mut Named<'a>) -> Result<(), &'static str> {
        match id {
            HeaderId::ContentLength => {
                // Two equal lines are refused as well: who sends them has lost track of the framing.
                let known = self.length.replace(length(line.value).ok_or("bad content-length")?);
                if known.is_some() || line.name.contains(&b'_') {
                    return Err("bad content-length");
                }
            }
            HeaderId::TransferEncoding => {
                let plain = line.value.eq_ignore_ascii_case(b"chunked");
                if self.chunked || !plain || line.name.contains(&b'_') {
                    return Err("bad transfer-encoding");
                }
                self.chunked = true;
            }
            HeaderId::Connection => {
                for option in options(line.value) {
                    self.members += 1;
                    if self.members > MAX_MEMBERS {
                        return Err("too many connection options");
                    }
                    match option.len() {
                        5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                        10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                        7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                        // An empty one names nothing (RFC 9110 section 5.6.1), but is counted.
                        0 => {}
                        _ => named.push(option),
                    }
                }
            }
            HeaderId::Upgrade => self.protocol = true,
            HeaderId::Trailer => self.trailer = true,
            HeaderId::Te => {
                self.takes_trailers |=
                    options(line.value).any(|option| option.eq_ignore_ascii_case(b"trailers"));
            }
            HeaderId::Expect if line.value.eq_ignore_ascii_case(b"100-continue") => self.expects = true,
            HeaderId::Expect => self.expects_other = true,
            _ => {}
        }
        Ok(())
    }
}

/// The members of a list without the blanks around them.
pub(super) fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Takes out what Connection names. Where a message is meant for and what it carries are not the connection's to say.
#[cold]
fn drop_named(named: &[&[u8]], out: &mut Headers) {
    let lower = named.concat().to_ascii_lowercase();
    let mut rest = &lower[..];
    let names = named.iter().filter_map(|name| rest.split_off(..name.len()));
    // In order of their sums, so that a line costs a few looks however many are named.
    let mut names: Vec<(u64, &[u8])> = names.map(|name| (sum(name), name)).collect();
    names.sort_unstable();
    let is_named = |name: &[u8]| {
        let sum = sum(name);
        let from = names.partition_point(|named| named.0 < sum);
        names[from..].iter().take_while(|named| named.0 == sum).any(|named| named.1 == name)
    };
    out.retain(|id, name, _| matches!(id, HeaderId::Host | HeaderId::ContentType) || !is_named(name));
}

/// A number that few names share.
fn sum(name: &[u8]) -> u64 {
    match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first).rotate_left(21) ^ u64::from_le_bytes(*last),
        _ => name.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    }
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

#[cfg(test)]
mod tests;

//! Header blocks as they came, for the faults in them that the library does not tell apart (RFC 9113 sections 4.3, 8.2.1).
//!
//! The library ends a connection in the same way for a block that cannot be decoded and for a name that none may have,
//! and it passes over pseudo-fields among trailers. The blocks of the last read are kept, and looked at only where it has
//! found a fault, and where they are trailers. Entries of the dynamic table are not known here.

use http::{HeaderValue, Method, StatusCode};

use crate::exchange::headers::is_token;

use super::frames::{Header, MAX_FRAME, flag, kind};
use super::huffman;

/// So much is kept; what is beyond cannot be distinguished.
const MOST: usize = 2 * MAX_FRAME;

/// So much memory stays when nothing is kept.
const REST: usize = 1024;

/// The largest table that we offer: the protocol's own default (RFC 9113 section 6.5.2).
const TABLE: usize = 4096;

/// The entries of the static table that name a method, a status, and any pseudo-field (RFC 7541 appendix A).
const METHODS: std::ops::RangeInclusive<usize> = 2..=3;
const STATUSES: std::ops::RangeInclusive<usize> = 8..=14;
const PSEUDO: std::ops::RangeInclusive<usize> = 1..=14;

/// The frames of header blocks that have come last.
#[derive(Default)]
pub(super) struct Blocks {
    /// Their payloads, without padding and priorities once they are read.
    bytes: Vec<u8>,
    frames: Vec<Frame>,
}

/// One frame: its flags, whether it is a HEADERS frame, and where its payload begins.
struct Frame {
    flags: u8,
    length: usize,
    begins: bool,
    at: usize,
}

/// What is wrong with a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// It cannot be decoded.
    Undecodable,
    /// A field has a name or a value that none may have, or the padding is too long.
    Malformed,
}

/// One field of a block: its name, and the value where it is in the block.
struct Field {
    name: Name,
    value: Option<Vec<u8>>,
}

enum Name {
    Indexed(usize),
    Literal(Vec<u8>),
}

impl Blocks {
    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.bytes.clear();
        self.bytes.shrink_to(REST);
    }

    /// A HEADERS or a CONTINUATION frame begins.
    pub(super) fn begin(&mut self, frame: &Header) {
        let (begins, at) = (frame.kind == kind::HEADERS, self.bytes.len());
        self.frames.push(Frame { flags: frame.flags, length: frame.length, begins, at });
    }

    /// More of its payload.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let room = MOST.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What is wrong with one of them, as far as that can be known.
    pub(super) fn fault(&self) -> Option<Fault> {
        let begins = self.frames.iter().enumerate().filter(|(_, frame)| frame.begins);
        begins.map(|(at, _)| self.block(at)).find_map(|block| match block {
            Ok((block, whole)) => fault_of(&block, whole),
            Err(fault) => Some(fault),
        })
    }

    /// Whether the last one holds a pseudo-field.
    pub(super) fn holds_pseudo_field(&self) -> bool {
        let Some(last) = self.frames.iter().rposition(|frame| frame.begins) else { return false };
        let Ok((block, _)) = self.block(last) else { return false };
        Fields { rest: &block }.map_while(Result::ok).any(|field| match field.name {
            Name::Indexed(index) => PSEUDO.contains(&index),
            Name::Literal(name) => name.first() == Some(&b':'),
        })
    }

    /// The block that begins with a frame, as far as it has come, and whether it is whole.
    fn block(&self, first: usize) -> Result<(Vec<u8>, bool), Fault> {
        let mut block = Vec::new();
        for (at, frame) in self.frames.iter().enumerate().skip(first) {
            if frame.begins && at != first {
                break;
            }
            let payload = self.bytes.get(frame.at..).unwrap_or_default();
            if payload.len() < frame.length {
                // Its padding is at the end.
                return Ok((block, false));
            }
            let mut payload = &payload[..frame.length];
            if frame.begins {
                payload = content(payload, frame.flags).ok_or(Fault::Malformed)?;
            }
            block.extend_from_slice(payload);
            if frame.flags & flag::END_HEADERS != 0 {
                return Ok((block, true));
            }
        }
        Ok((block, false))
    }
}

/// The payload of a HEADERS frame without padding and priority; none where the padding is too long.
fn content(mut payload: &[u8], flags: u8) -> Option<&[u8]> {
    let mut padding = 0;
    if flags & flag::PADDED != 0 {
        (padding, payload) = payload.split_first().map(|(padding, rest)| (usize::from(*padding), rest))?;
    }
    if flags & flag::PRIORITY != 0 {
        payload = payload.get(5..)?;
    }
    payload.get(..payload.len().checked_sub(padding)?)
}

fn fault_of(block: &[u8], whole: bool) -> Option<Fault> {
    let mut fault = None;
    for field in (Fields { rest: block }) {
        match field {
            Ok(field) if is_malformed(&field) => fault = Some(Fault::Malformed),
            Ok(_) => {}
            // The rest of a block is decoded whatever its fields are.
            Err(Broken::Wrong) => return Some(Fault::Undecodable),
            Err(Broken::Short) if whole => return Some(Fault::Undecodable),
            Err(Broken::Short) => {}
        }
    }
    fault
}

/// Whether no field may have this name or this value.
fn is_malformed(Field { name, value }: &Field) -> bool {
    let value = value.as_deref();
    let (is_pseudo, is_method, is_status) = match name {
        Name::Indexed(index) => (PSEUDO.contains(index), METHODS.contains(index), STATUSES.contains(index)),
        Name::Literal(name) => match &**name {
            [] => return true,
            b":method" => (true, true, false),
            b":status" => (true, false, true),
            b":scheme" | b":path" | b":authority" | b":protocol" => (true, false, false),
            name if name.iter().all(|byte| is_token(*byte) && !byte.is_ascii_uppercase()) => {
                (false, false, false)
            }
            _ => return true,
        },
    };
    value.is_some_and(|value| {
        HeaderValue::from_bytes(value).is_err()
            || (is_pseudo && std::str::from_utf8(value).is_err())
            || (is_method && Method::from_bytes(value).is_err())
            || (is_status && StatusCode::from_bytes(value).is_err())
    })
}

/// The fields of a block (RFC 7541 section 6).
struct Fields<'a> {
    rest: &'a [u8],
}

/// Why a block cannot be read on.
enum Broken {
    /// It ends within a field.
    Short,
    Wrong,
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.field().transpose();
        if matches!(field, Some(Err(_))) {
            self.rest = &[];
        }
        field
    }
}

impl Fields<'_> {
    fn field(&mut self) -> Result<Option<Field>, Broken> {
        loop {
            let Some(first) = self.rest.first() else { return Ok(None) };
            let bits = match first.leading_zeros() {
                // An entry of a table.
                0 => {
                    let index = self.number(7)?;
                    let name = if index == 0 { return Err(Broken::Wrong) } else { Name::Indexed(index) };
                    return Ok(Some(Field { name, value: None }));
                }
                // A value that goes into the table.
                1 => 6,
                // The table gets another size.
                2 if self.number(5)? > TABLE => return Err(Broken::Wrong),
                2 => continue,
                _ => 4,
            };
            let name = match self.number(bits)? {
                0 => Name::Literal(self.text()?),
                index => Name::Indexed(index),
            };
            return Ok(Some(Field { name, value: Some(self.text()?) }));
        }
    }

    /// A number whose first part has so many bits (RFC 7541 section 5.1).
    fn number(&mut self, bits: u32) -> Result<usize, Broken> {
        let most = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        // As many bytes as the library reads.
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(self.byte()?);
            number += (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Broken::Wrong)
    }

    /// A string (RFC 7541 section 5.2).
    fn text(&mut self) -> Result<Vec<u8>, Broken> {
        let is_coded = self.rest.first().ok_or(Broken::Short)? & 0x80 != 0;
        let length = self.number(7)?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(Broken::Short)?;
        self.rest = rest;
        if is_coded { huffman::decode(text).ok_or(Broken::Wrong) } else { Ok(text.to_vec()) }
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.rest.split_first().ok_or(Broken::Short)?;
        self.rest = rest;
        Ok(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(frames: &[(u8, u8, &[u8])]) -> Blocks {
        let mut blocks = Blocks::default();
        for (kind, flags, payload) in frames {
            blocks.begin(&Header { length: payload.len(), kind: *kind, flags: *flags, stream: 1 });
            payload.chunks(3).for_each(|part| blocks.take(part));
        }
        blocks
    }

    fn whole(block: &[u8]) -> Blocks {
        of(&[(kind::HEADERS, flag::END_HEADERS, block)])
    }

    #[test]
    fn a_name_that_none_may_have_is_told_from_a_block_that_cannot_be_decoded() {
        let rows: &[(&[u8], Option<Fault>)] = &[
            (b"\x82\x86\x84\x41\x01a\xbe", None),
            (b"\x00\x01a\x01b", None),
            (b"\x00\x01A\x01b", Some(Fault::Malformed)),
            (b"\x00\x03a b\x01b", Some(Fault::Malformed)),
            (b"\x00\x01a\x03b\nc", Some(Fault::Malformed)),
            (b"\x00\x00\x01b", Some(Fault::Malformed)),
            (b"\x00\x02:a\x01b", Some(Fault::Malformed)),
            (b"\x40\x05:path\x01/", None),
            (b"\x02\x03a b", Some(Fault::Malformed)),
            (b"\x08\x01x", Some(Fault::Malformed)),
            // `A` in the Huffman code, and padding of it that is not all ones.
            (b"\x00\x81\x87\x01b", Some(Fault::Malformed)),
            (b"\x00\x81\x86\x01b", Some(Fault::Undecodable)),
            (b"\x80", Some(Fault::Undecodable)),
            (b"\x00\x01A\x01b\x80", Some(Fault::Undecodable)),
            (b"\x82\x00\x01a\x09b", Some(Fault::Undecodable)),
            (b"\xff\xff\xff\xff\xff\xff", Some(Fault::Undecodable)),
            (b"\x3f\xe1\x1f\x82", None),
            (b"\x3f\xe2\x1f\x82", Some(Fault::Undecodable)),
        ];
        for (block, expected) in rows {
            assert_eq!(whole(block).fault(), *expected, "{block:x?}");
        }
    }

    #[test]
    fn a_block_is_read_over_its_frames() {
        let head: &[u8] = b"\x82\x00\x01A\x01b";
        let (first, rest) = head.split_at(3);
        assert_eq!(of(&[(kind::HEADERS, 0, first)]).fault(), None, "it may go on");
        let cut = [(kind::HEADERS, 0, first), (kind::CONTINUATION, flag::END_HEADERS, rest)];
        assert_eq!(of(&cut).fault(), Some(Fault::Malformed));
        let flags = flag::END_HEADERS | flag::PADDED | flag::PRIORITY;
        let padded = [b"\x02\0\0\0\0\0", &b"\x82"[..], b"\xff\xff"].concat();
        assert_eq!(of(&[(kind::HEADERS, flags, &padded)]).fault(), None);
        let beyond = (kind::HEADERS, flag::END_HEADERS | flag::PADDED, &b"\x03\x82\0"[..]);
        assert_eq!(of(&[beyond]).fault(), Some(Fault::Malformed));
        let mut blocks = whole(b"\x80");
        blocks.clear();
        assert_eq!(blocks.fault(), None);
        blocks.begin(&Header { length: 3 * MOST, kind: kind::HEADERS, flags: 0, stream: 1 });
        (0..100).for_each(|_| blocks.take(&[0; 1024]));
        assert_eq!(blocks.bytes.len(), MOST);
    }

    #[test]
    fn pseudo_fields_are_found_in_the_last_block() {
        let rows: &[(&[u8], bool)] = &[
            (b"\x00\x01a\x01b", false),
            (b"\x00\x01a\x01b\x82", true),
            (b"\x01\x01b", true),
            (b"\x00\x07:method\x03GET", true),
            // `:a` in the Huffman code.
            (b"\x00\x82\xb8\x3f\x01b", true),
            (b"\x0f\x00\x01b", false),
        ];
        for (block, expected) in rows {
            let both =
                [(kind::HEADERS, flag::END_HEADERS, &b"\x82"[..]), (kind::HEADERS, flag::END_HEADERS, block)];
            assert_eq!(of(&both).holds_pseudo_field(), *expected, "{block:x?}");
        }
    }
}

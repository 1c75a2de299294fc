//! Header lines of one head, kept as the text that goes on the wire.
//!
//! A head is read once and written once, so the lines live in one block of bytes (`name: value\r\n`, names in
//! lower case) with a small index beside it: reading copies each line once, looking a name up compares one byte
//! ([`HeaderId`]), dropping a line marks it, and writing a head copies whole lines. RFC 9110 section 5.

mod id;

use std::fmt;
use std::ops::Range;

pub use id::{HeaderId, LowerName, is_token, same_folded};

/// A name or value that would break the framing of a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidHeader;

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a valid header name or value")
    }
}

#[derive(Clone, Copy)]
struct Line {
    start: u32,
    end: u32,
    name: u16,
    id: HeaderId,
    gone: bool,
}

/// The header lines of a head or a trailer section, in the order they came.
#[derive(Clone, Default)]
pub struct Headers {
    text: Vec<u8>,
    lines: Vec<Line>,
}

impl Headers {
    /// No lines, no memory.
    pub const fn new() -> Headers {
        Headers { text: Vec::new(), lines: Vec::new() }
    }

    /// Room for so many lines and bytes before the first growth.
    pub fn with_capacity(lines: usize, bytes: usize) -> Headers {
        Headers { text: Vec::with_capacity(bytes), lines: Vec::with_capacity(lines) }
    }

    /// Makes room for so many more lines and bytes, so that adding them allocates at most here.
    pub fn reserve(&mut self, lines: usize, bytes: usize) {
        // Nothing has to be moved where there was no memory, which is the rule.
        if self.text.capacity() == 0 {
            *self = Headers::with_capacity(lines, bytes);
        }
        self.lines.reserve(lines);
        self.text.reserve(bytes);
    }

    /// Removes every line and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.iter().filter(|line| !line.gone).count()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.gone)
    }

    /// Adds a line that a codec has judged already: a token for a name (any case), a value without CR, LF or NUL
    /// and without blanks around it.
    #[inline]
    pub fn push_judged(&mut self, name: &[u8], value: &[u8]) -> HeaderId {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        let id = id::lower(&mut self.text[start..]);
        self.text.extend_from_slice(b": ");
        self.finish_line(start, name.len(), value, id);
        id
    }

    /// Adds a line as [`Headers::push_judged`] does, for a name in lower case whose id is known.
    #[inline]
    pub fn push_known(&mut self, id: HeaderId, name: &[u8], value: &[u8]) {
        debug_assert!(id == HeaderId::of(name) && name == name.to_ascii_lowercase());
        let start = self.text.len();
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        self.finish_line(start, name.len(), value, id);
    }

    /// Adds a line whose value, judged as for [`Headers::push_judged`], is written straight to its place.
    pub fn push_written(&mut self, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        let id = id::lower(&mut self.text[start..]);
        self.text.extend_from_slice(b": ");
        value(&mut self.text);
        debug_assert!(valid_value(&self.text[start + name.len() + 2..]));
        self.finish_line(start, name.len(), b"", id);
    }

    /// Adds a line whose rest, from the colon on, is written as the gate writes it: `: value` and CRLF, judged as for
    /// [`Headers::push_judged`]. The id is that of the name.
    #[inline]
    pub fn push_line(&mut self, name: &LowerName, id: HeaderId, rest: &[u8]) {
        let start = self.text.len();
        name.push(&mut self.text);
        self.text.extend_from_slice(rest);
        self.enter(start..self.text.len(), name.len(), id);
    }

    /// Adds a line for a name the gate knows; the value must be judged as for [`Headers::push_judged`].
    // Most callers name the id: the start of the line then is a constant to them.
    #[inline(always)]
    pub fn push_id(&mut self, id: HeaderId, value: &[u8]) {
        debug_assert!(id != HeaderId::Other && valid_value(value));
        let start = self.text.len();
        let opening = id.opening().as_bytes();
        self.text.extend_from_slice(opening);
        self.finish_line(start, opening.len() - 2, value, id);
    }

    /// Adds a whole line as it is written, with its CRLF, for a name the gate knows.
    #[inline(always)]
    pub fn push_prepared(&mut self, id: HeaderId, line: &[u8]) {
        debug_assert!(line.starts_with(id.opening().as_bytes()) && line.ends_with(b"\r\n"));
        let start = self.text.len();
        self.text.extend_from_slice(line);
        self.enter(start..self.text.len(), id.opening().len() - 2, id);
    }

    /// Adds a line, whatever others of that name there are.
    ///
    /// # Errors
    /// [`InvalidHeader`] where the name is no token or the value holds control bytes; nothing is added.
    pub fn append(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidHeader> {
        if !valid_name(name.as_bytes()) || !valid_value(value) {
            return Err(InvalidHeader);
        }
        self.push_judged(name.as_bytes(), value);
        Ok(())
    }

    /// Makes this the only line of that name.
    ///
    /// # Errors
    /// As [`Headers::append`]; the old lines stay then.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidHeader> {
        if !valid_name(name.as_bytes()) || !valid_value(value) {
            return Err(InvalidHeader);
        }
        self.remove(name);
        self.push_judged(name.as_bytes(), value);
        Ok(())
    }

    /// Adds the rest of a line whose name and colon stand at the end of the text.
    #[inline]
    fn finish_line(&mut self, start: usize, name: usize, value: &[u8], id: HeaderId) {
        self.text.extend_from_slice(value);
        self.text.extend_from_slice(b"\r\n");
        self.enter(start..self.text.len(), name, id);
    }

    #[inline]
    fn enter(&mut self, line: Range<usize>, name: usize, id: HeaderId) {
        // Heads are bounded far below these types by the codecs, and what the gate adds is short.
        let (start, end) = (line.start as u32, line.end as u32);
        self.lines.push(Line { start, end, name: name as u16, id, gone: false });
    }

    fn name_of(&self, line: &Line) -> &[u8] {
        &self.text[line.start as usize..line.start as usize + usize::from(line.name)]
    }

    fn value_of(&self, line: &Line) -> &[u8] {
        &self.text[line.start as usize + usize::from(line.name) + 2..line.end as usize - 2]
    }

    fn live(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !line.gone)
    }

    /// The value of the first line with this id.
    #[inline]
    pub fn get_id(&self, id: HeaderId) -> Option<&[u8]> {
        self.live().find(|line| line.id == id).map(|line| self.value_of(line))
    }

    /// The values of every line with this id, in order.
    pub fn all_id(&self, id: HeaderId) -> impl Iterator<Item = &[u8]> {
        self.live().filter(move |line| line.id == id).map(|line| self.value_of(line))
    }

    /// The value of the first line of this name (lower case).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.live().find(|line| self.name_of(line) == name.as_bytes()).map(|line| self.value_of(line))
    }

    /// The values of every line of this name (lower case), in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.live().filter(move |line| self.name_of(line) == name.as_bytes()).map(|line| self.value_of(line))
    }

    /// Whether there is a line with this id.
    pub fn has_id(&self, id: HeaderId) -> bool {
        self.live().any(|line| line.id == id)
    }

    /// Drops every line with this id.
    pub fn remove_id(&mut self, id: HeaderId) {
        for line in &mut self.lines {
            line.gone |= line.id == id;
        }
    }

    /// Drops every line of this name (lower case).
    pub fn remove(&mut self, name: &str) {
        self.retain(|_, line, _| line != name.as_bytes());
    }

    /// Keeps the lines for which `keep(id, name, value)` holds.
    #[inline]
    pub fn retain(&mut self, mut keep: impl FnMut(HeaderId, &[u8], &[u8]) -> bool) {
        let text = &self.text;
        for line in self.lines.iter_mut().filter(|line| !line.gone) {
            let colon = line.start as usize + usize::from(line.name);
            line.gone =
                !keep(line.id, &text[line.start as usize..colon], &text[colon + 2..line.end as usize - 2]);
        }
    }

    /// Id, name in lower case and value of every line, in order.
    pub fn iter(&self) -> impl Iterator<Item = (HeaderId, &[u8], &[u8])> {
        self.live().map(|line| (line.id, self.name_of(line), self.value_of(line)))
    }

    /// Adds every line of `from` for which `keep` holds.
    pub fn extend_from(&mut self, from: &Headers, mut keep: impl FnMut(HeaderId, &[u8], &[u8]) -> bool) {
        let mut run = 0..0;
        for line in from.live() {
            if !keep(line.id, from.name_of(line), from.value_of(line)) {
                continue;
            }
            let (start, end) = (line.start as usize, line.end as usize);
            if run.end != start {
                self.text.extend_from_slice(&from.text[run]);
                run = start..start;
            }
            let at = self.text.len() + run.len();
            run.end = end;
            self.enter(at..at + (end - start), usize::from(line.name), line.id);
        }
        self.text.extend_from_slice(&from.text[run]);
    }

    /// Writes the lines as they go on the wire, each with its CRLF.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        // Neighbouring lines are one run of bytes: most heads go out in one or two copies.
        let mut run = 0..0;
        for line in self.live() {
            if run.end != line.start as usize {
                out.extend_from_slice(&self.text[run]);
                run = line.start as usize..0;
            }
            run.end = line.end as usize;
        }
        out.extend_from_slice(&self.text[run]);
    }
}

impl fmt::Debug for Headers {
    /// Names alone: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.live().map(|line| String::from_utf8_lossy(self.name_of(line)))).finish()
    }
}

/// Whether the bytes are a token (RFC 9110 section 5.6.2).
pub fn valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= usize::from(u16::MAX) && name.iter().all(|byte| is_token(*byte))
}

/// Whether the bytes may stand as a field value: no control bytes but HTAB (RFC 9110 section 5.5).
pub fn valid_value(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f))
}

#[cfg(test)]
mod tests;

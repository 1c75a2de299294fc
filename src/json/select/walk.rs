//! Runs a JSON value through a selection, in pieces of any size: what is kept whole is copied in runs, what is dropped is
//! only judged, and what lies between is taken apart.

use std::sync::Arc;

use super::super::scan::{MAX_DEPTH, Scanner, short_end, text_end};
use super::super::text::same_name;
use super::super::{BOM, Invalid, Utf8, is_blank};
use super::{Selection, Verdict, unescaped};

/// No rule speaks of it.
const NONE: u32 = u32::MAX;

/// The longest name of a member that is looked up.
const MAX_NAME: usize = 64 * 1024;

/// One value on its way through a [`Selection`].
pub struct Selector {
    selection: Arc<Selection>,
    at: At,
    frames: Vec<Frame>,
    scanner: Scanner,
    copying: bool,
    /// Whether not a byte of the value has been taken.
    fresh: bool,
    /// The name of the member at hand, without quotes, as it stands.
    name: Vec<u8>,
    utf8: Utf8,
    /// How many bytes of a byte order mark have come.
    mark: usize,
    /// Whether the whole has been found, and its beginning written.
    begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Mark,
    Value,
    FirstItem,
    FirstName,
    Name,
    InName,
    Escape,
    Hex(u8),
    Colon,
    After,
    Inside,
    End,
}

/// An open container that is taken apart.
struct Frame {
    kind: Kind,
    node: u32,
    keeping: bool,
    /// Whether something has been written into it.
    any: bool,
    /// Which of the new names have been given.
    seen: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    List,
    /// An object on the way to the member that becomes the whole: so many names down.
    Unwrap(usize),
}

impl Selector {
    /// At the start of a value.
    pub fn new(selection: Arc<Selection>) -> Selector {
        Selector {
            selection,
            at: At::Mark,
            frames: Vec::new(),
            scanner: Scanner::new(0),
            copying: false,
            fresh: false,
            name: Vec::new(),
            utf8: Utf8::default(),
            mark: 0,
            begun: false,
        }
    }

    /// Takes the next bytes and writes what is kept of them.
    ///
    /// # Errors
    /// The bytes are no JSON; what has been written stays.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
        self.utf8.feed(bytes)?;
        let selection = Arc::clone(&self.selection);
        let mut at = 0;
        loop {
            match self.at {
                At::Inside if self.fresh => {
                    self.fresh = false;
                    if let Some(end) = short_end(bytes, at) {
                        if self.copying {
                            out.extend_from_slice(&bytes[at..end]);
                        }
                        at = end;
                        self.passed();
                        continue;
                    }
                    self.scanner.restart(self.frames.len());
                }
                At::Inside => {
                    let ended = self.scanner.feed(&bytes[at..])?;
                    let end = ended.map_or(bytes.len(), |length| at + length);
                    if self.copying {
                        out.extend_from_slice(&bytes[at..end]);
                    }
                    at = end;
                    if ended.is_none() {
                        return Ok(());
                    }
                    self.passed();
                }
                At::InName => {
                    let end = text_end(bytes, at);
                    self.name.extend_from_slice(&bytes[at..end]);
                    at = end;
                    if self.name.len() > MAX_NAME {
                        return Err(Invalid::LongName);
                    }
                    let Some(&byte) = bytes.get(at) else { return Ok(()) };
                    at += 1;
                    match byte {
                        b'"' => self.at = At::Colon,
                        b'\\' => {
                            self.name.push(byte);
                            self.at = At::Escape;
                        }
                        byte => return Err(Invalid::Byte(byte)),
                    }
                }
                state => {
                    if !matches!(state, At::Mark | At::Escape | At::Hex(_)) {
                        while bytes.get(at).copied().is_some_and(is_blank) {
                            at += 1;
                        }
                    }
                    let Some(&byte) = bytes.get(at) else { return Ok(()) };
                    if byte == b'"'
                        && matches!(state, At::FirstName | At::Name)
                        && let Some(end) = self.short_name(bytes, at + 1)
                    {
                        at = end;
                        continue;
                    }
                    if self.token(&selection, state, byte, out)? {
                        at += 1;
                    }
                }
            }
        }
    }

    /// Takes a name that lies in these bytes whole, without escapes, with its colon right behind it, as most do: where it has ended.
    #[inline]
    fn short_name(&mut self, bytes: &[u8], start: usize) -> Option<usize> {
        let end = text_end(bytes, start);
        if bytes.get(end..end + 2) != Some(b"\":") {
            return None;
        }
        self.name.clear();
        self.name.extend_from_slice(&bytes[start..end]);
        self.at = At::Value;
        Some(end + 2)
    }

    /// One byte where a token begins; whether it has been used up.
    fn token(
        &mut self,
        selection: &Selection,
        state: At,
        byte: u8,
        out: &mut Vec<u8>,
    ) -> Result<bool, Invalid> {
        let list = self.frames.last().is_some_and(|frame| frame.kind == Kind::List);
        self.at = match (state, byte) {
            (At::Mark, byte) if byte == BOM[self.mark] => {
                self.mark += 1;
                if self.mark == BOM.len() { At::Value } else { At::Mark }
            }
            (At::Mark, _) if self.mark == 0 => {
                self.at = At::Value;
                return Ok(false);
            }
            (At::FirstItem, b']') => return Ok(self.close(out)),
            (At::Value | At::FirstItem, _) => return self.value(selection, byte, out),
            (At::FirstName | At::Name, b'"') => {
                self.name.clear();
                At::InName
            }
            (At::Escape, b'u') => self.in_name(byte, At::Hex(4)),
            (At::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.in_name(byte, At::InName)
            }
            (At::Hex(1), byte) if byte.is_ascii_hexdigit() => self.in_name(byte, At::InName),
            (At::Hex(left), byte) if byte.is_ascii_hexdigit() => self.in_name(byte, At::Hex(left - 1)),
            (At::Colon, b':') => At::Value,
            (At::After, b',') if list => At::Value,
            (At::After, b',') => At::Name,
            (At::After, b']') if list => return Ok(self.close(out)),
            (At::After | At::FirstName, b'}') if !list => return Ok(self.close(out)),
            (At::End, _) => return Err(Invalid::Trailing),
            (_, byte) => return Err(Invalid::Byte(byte)),
        };
        Ok(true)
    }

    fn in_name(&mut self, byte: u8, next: At) -> At {
        self.name.push(byte);
        next
    }

    /// A value begins: judged by where it stands. Whether its first byte has been used up.
    fn value(&mut self, selection: &Selection, first: u8, out: &mut Vec<u8>) -> Result<bool, Invalid> {
        let Some(frame) = self.frames.last_mut() else {
            return if selection.unwrap.is_empty() {
                self.whole(selection, first, out)
            } else {
                self.unwrap(0, first)
            };
        };
        let (node, keeping) = (frame.node, frame.keeping);
        match frame.kind {
            Kind::Unwrap(level) => {
                let wanted = selection.unwrap.get(level);
                if self.begun || !wanted.is_some_and(|name| same_name(&self.name, name)) {
                    return Ok(self.inside(false));
                }
                if level + 1 == selection.unwrap.len() {
                    return self.whole(selection, first, out);
                }
                self.unwrap(level + 1, first)
            }
            Kind::List => {
                let items = selection.node(node).and_then(|node| node.items).unwrap_or(NONE);
                let verdict = selection.judge(items, keeping, first);
                if verdict != Verdict::Skip && std::mem::replace(&mut frame.any, true) {
                    out.push(b',');
                }
                self.run(verdict, items, first, out)
            }
            Kind::Object => {
                let parent = selection.node(node);
                let child = parent.and_then(|node| node.find(&self.name)).unwrap_or(NONE);
                let mut verdict = selection.judge(child, keeping, first);
                let renamed = selection.node(child).and_then(|node| node.renamed.as_ref());
                if let Some(parent) = parent.filter(|node| !node.targets.is_empty())
                    && verdict != Verdict::Skip
                {
                    let given =
                        renamed.map_or_else(|| unescaped(&self.name), |renamed| (&*renamed.name).into());
                    if let Some(bit) = parent.targets.iter().position(|target| **target == *given) {
                        if frame.seen & (1 << bit) != 0 {
                            verdict = Verdict::Skip;
                        }
                        frame.seen |= 1 << bit;
                    }
                }
                if verdict != Verdict::Skip {
                    if std::mem::replace(&mut frame.any, true) {
                        out.push(b',');
                    }
                    match renamed {
                        Some(renamed) => out.extend_from_slice(&renamed.quoted),
                        None => {
                            out.push(b'"');
                            out.extend_from_slice(&self.name);
                            out.push(b'"');
                        }
                    }
                    out.push(b':');
                }
                self.run(verdict, child, first, out)
            }
        }
    }

    /// The value that the rules speak of begins.
    fn whole(&mut self, selection: &Selection, first: u8, out: &mut Vec<u8>) -> Result<bool, Invalid> {
        let verdict = selection.judge(0, !selection.keeps, first);
        if verdict != Verdict::Skip {
            self.begin(selection, out);
        }
        self.run(verdict, 0, first, out)
    }

    fn begin(&mut self, selection: &Selection, out: &mut Vec<u8>) {
        self.begun = true;
        if let Some(wrap) = &selection.wrap {
            out.extend_from_slice(wrap);
        }
    }

    fn unwrap(&mut self, level: usize, first: u8) -> Result<bool, Invalid> {
        if first != b'{' {
            return Ok(self.inside(false));
        }
        self.open(Kind::Unwrap(level), NONE, false)?;
        Ok(true)
    }

    fn run(&mut self, verdict: Verdict, node: u32, first: u8, out: &mut Vec<u8>) -> Result<bool, Invalid> {
        match verdict {
            Verdict::Skip => Ok(self.inside(false)),
            Verdict::Copy => Ok(self.inside(true)),
            Verdict::Walk(keeping) => {
                let kind = if first == b'{' { Kind::Object } else { Kind::List };
                self.open(kind, node, keeping)?;
                out.push(first);
                Ok(true)
            }
        }
    }

    /// The scanner takes over, from the first byte of the value on.
    fn inside(&mut self, copying: bool) -> bool {
        self.fresh = true;
        self.copying = copying;
        self.at = At::Inside;
        false
    }

    fn open(&mut self, kind: Kind, node: u32, keeping: bool) -> Result<(), Invalid> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(Invalid::TooDeep);
        }
        self.frames.push(Frame { kind, node, keeping, any: false, seen: 0 });
        self.at = if kind == Kind::List { At::FirstItem } else { At::FirstName };
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<u8>) -> bool {
        match self.frames.pop().map(|frame| frame.kind) {
            Some(Kind::Object) => out.push(b'}'),
            Some(Kind::List) => out.push(b']'),
            _ => {}
        }
        self.passed();
        true
    }

    /// A value has ended.
    fn passed(&mut self) {
        self.at = if self.frames.is_empty() { At::End } else { At::After };
    }

    /// The bytes have ended: writes what closes the whole.
    ///
    /// # Errors
    /// The value has not ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Invalid> {
        self.utf8.finish()?;
        if self.at == At::Inside && self.frames.is_empty() {
            self.scanner.finish()?;
            self.at = At::End;
        }
        if self.at != At::End {
            return Err(Invalid::Incomplete);
        }
        let selection = Arc::clone(&self.selection);
        if !self.begun {
            self.begin(&selection, out);
            out.extend_from_slice(b"null");
        }
        if selection.wrap.is_some() {
            out.push(b'}');
        }
        Ok(())
    }
}

//! Header lines of one head, kept as the text that goes on the wire.
//!
//! A head is read once and written once, so the lines live in one block of bytes (`name: value\r\n`, names in
//! lower case) with a small index beside it: reading copies each line once, looking a name up compares one byte
//! ([`HeaderId`]), dropping a line marks it, and writing a head copies whole lines. RFC 9110 section 5.

use std::fmt;

macro_rules! header_ids {
    ($($id:ident = $name:literal $(, $class:ident)*;)*) => {
        /// A header name that the gate has a rule for; every other name is [`HeaderId::Other`].
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum HeaderId { Other, $($id),* }

        impl HeaderId {
            /// The id of a name in lower case.
            #[inline]
            pub fn of(name: &[u8]) -> HeaderId {
                match name { $(name if name == $name.as_bytes() => HeaderId::$id,)* _ => HeaderId::Other }
            }

            /// The name in lower case; empty for [`HeaderId::Other`].
            pub const fn name(self) -> &'static str {
                match self { HeaderId::Other => "", $(HeaderId::$id => $name),* }
            }

            const fn classes(self) -> u8 {
                match self { HeaderId::Other => 0, $(HeaderId::$id => 0 $(| $class)*),* }
            }
        }
    };
}

const HOP: u8 = 1;
const OWNED: u8 = 2;

header_ids! {
    Host = "host";
    Accept = "accept";
    AcceptEncoding = "accept-encoding";
    Authorization = "authorization";
    CacheControl = "cache-control";
    Connection = "connection", HOP;
    ContentLength = "content-length";
    ContentLocation = "content-location";
    ContentType = "content-type";
    Cookie = "cookie";
    Date = "date";
    Expect = "expect";
    Forwarded = "forwarded", OWNED;
    Http2Settings = "http2-settings", HOP;
    KeepAlive = "keep-alive", HOP;
    Link = "link";
    Location = "location";
    Origin = "origin";
    ProxyAuthenticate = "proxy-authenticate", HOP;
    ProxyAuthorization = "proxy-authorization", HOP;
    ProxyConnection = "proxy-connection", HOP;
    Refresh = "refresh";
    RetryAfter = "retry-after";
    Server = "server";
    SetCookie = "set-cookie";
    Te = "te", HOP;
    Traceparent = "traceparent", OWNED;
    Tracestate = "tracestate", OWNED;
    Trailer = "trailer", HOP;
    TransferEncoding = "transfer-encoding", HOP;
    Upgrade = "upgrade", HOP;
    UserAgent = "user-agent";
    Via = "via";
    XForwardedFor = "x-forwarded-for", OWNED;
    XForwardedHost = "x-forwarded-host", OWNED;
    XForwardedPort = "x-forwarded-port", OWNED;
    XForwardedProto = "x-forwarded-proto", OWNED;
    XForwardedPrefix = "x-forwarded-prefix", OWNED;
    XPoweredBy = "x-powered-by";
    XRealIp = "x-real-ip", OWNED;
    XRequestId = "x-request-id", OWNED;
}

impl HeaderId {
    /// Whether the line speaks of one connection alone and is never passed on (RFC 9110 section 7.6.1).
    pub const fn hop_by_hop(self) -> bool {
        self.classes() & HOP != 0
    }

    /// Whether the gate alone says it to an upstream (forwarding, request id, trace context).
    pub const fn gateway_owned(self) -> bool {
        self.classes() & OWNED != 0
    }

    /// The id of a name as an upstream would read it that makes a variable of it, as CGI does (RFC 3875 section
    /// 4.1.18): some fold `_` into `-`, some every byte that is neither letter nor digit. A name with such a byte
    /// may be in any case.
    pub fn folded(name: &[u8]) -> HeaderId {
        if name.iter().all(|byte| is_plain(*byte)) {
            return HeaderId::of(name);
        }
        let mut folded = [0u8; 32];
        let Some(room) = folded.get_mut(..name.len()) else { return HeaderId::Other };
        for (to, from) in room.iter_mut().zip(name) {
            *to = fold(from.to_ascii_lowercase());
        }
        HeaderId::of(room)
    }
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

const fn fold(byte: u8) -> u8 {
    if is_plain(byte) { byte } else { b'-' }
}

/// Whether two names are one name to an upstream that folds what is neither letter nor digit into `-`. Both in lower
/// case.
pub fn same_folded(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| fold(*a) == fold(*b))
}

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
        // Lowered on the way: reading bytes back that were just written would stall.
        self.text.extend(name.iter().map(u8::to_ascii_lowercase));
        let id = HeaderId::of(&self.text[start..]);
        self.finish_line(start, name.len(), value, id);
        id
    }

    /// Takes back the line that was added last.
    #[inline]
    pub fn pop(&mut self) {
        if let Some(line) = self.lines.pop() {
            self.text.truncate(line.start as usize);
        }
    }

    /// Adds a line for a name the gate knows; the value must be judged as for [`Headers::push_judged`].
    #[inline]
    pub fn push_id(&mut self, id: HeaderId, value: &[u8]) {
        debug_assert!(id != HeaderId::Other && valid_value(value));
        let start = self.text.len();
        self.text.extend_from_slice(id.name().as_bytes());
        self.finish_line(start, id.name().len(), value, id);
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

    fn finish_line(&mut self, start: usize, name: usize, value: &[u8], id: HeaderId) {
        self.text.extend_from_slice(b": ");
        self.text.extend_from_slice(value);
        self.text.extend_from_slice(b"\r\n");
        // Heads are bounded far below these types by the codecs, and what the gate adds is short.
        self.lines.push(Line {
            start: start as u32,
            end: self.text.len() as u32,
            name: name as u16,
            id,
            gone: false,
        });
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
        for line in from.live() {
            if keep(line.id, from.name_of(line), from.value_of(line)) {
                let start = self.text.len() as u32;
                self.text.extend_from_slice(&from.text[line.start as usize..line.end as usize]);
                self.lines.push(Line { start, end: self.text.len() as u32, ..*line });
            }
        }
    }

    /// Writes the lines as they go on the wire, each with its CRLF.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        // Neighbouring lines are one run of bytes: most heads go out in one or two copies.
        let mut run: Option<(usize, usize)> = None;
        for line in self.live() {
            let (start, end) = (line.start as usize, line.end as usize);
            run = match run {
                Some((from, to)) if to == start => Some((from, end)),
                Some((from, to)) => {
                    out.extend_from_slice(&self.text[from..to]);
                    Some((start, end))
                }
                None => Some((start, end)),
            };
        }
        if let Some((from, to)) = run {
            out.extend_from_slice(&self.text[from..to]);
        }
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

/// Whether the byte may stand in a token (RFC 9110 section 5.6.2).
pub const fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    ) || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests;

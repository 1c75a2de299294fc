//! The names that the gate has a rule for, as numbers.

macro_rules! header_ids {
    ($($id:ident = $name:literal $(, $class:ident)*;)*) => {
        /// A header name that the gate has a rule for; every other name is [`HeaderId::Other`].
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum HeaderId { Other, $($id),* }

        impl HeaderId {
            pub(super) const ALL: &[HeaderId] = &[$(HeaderId::$id),*];

            /// The name in lower case; empty for [`HeaderId::Other`].
            pub const fn name(self) -> &'static str {
                match self { HeaderId::Other => "", $(HeaderId::$id => $name),* }
            }

            /// The start of its line: the name in lower case, a colon and a blank.
            pub(in crate::exchange) const fn opening(self) -> &'static str {
                match self { HeaderId::Other => ": ", $(HeaderId::$id => concat!($name, ": ")),* }
            }

            const fn classes(self) -> u8 {
                match self { HeaderId::Other => 0, $(HeaderId::$id => 0 $(| $class)*),* }
            }
        }
    };
}

const HOP: u8 = 1;
const OWNED: u8 = 2;
/// Judged where a request is admitted.
const JUDGED: u8 = 4;

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
    Upgrade = "upgrade", HOP, OWNED, JUDGED;
    UserAgent = "user-agent";
    Via = "via", JUDGED;
    XForwardedFor = "x-forwarded-for", OWNED;
    XForwardedHost = "x-forwarded-host", OWNED;
    XForwardedPort = "x-forwarded-port", OWNED;
    XForwardedProto = "x-forwarded-proto", OWNED;
    XForwardedPrefix = "x-forwarded-prefix", OWNED;
    XPoweredBy = "x-powered-by";
    XRealIp = "x-real-ip", OWNED;
    XRequestId = "x-request-id", OWNED;
}

/// A name in lower case with zeroes behind it and its length at the end, to be compared whole.
type Padded = [u8; 32];

/// The longest name that can be padded; every known one is shorter.
const LONGEST: usize = 31;

/// Where the length stands.
const LENGTH: usize = LONGEST;

const fn known(id: HeaderId) -> Padded {
    let name = id.name().as_bytes();
    let (mut padded, mut at) = ([0; 32], 0);
    while at < name.len() {
        padded[at] = name[at];
        at += 1;
    }
    padded[LENGTH] = name.len() as u8;
    padded
}

/// Pads a name; `None` where it is longer than any known one.
#[inline]
fn padded(name: &[u8]) -> Option<Padded> {
    let mut padded = [0; 32];
    padded[..LONGEST].get_mut(..name.len())?.copy_from_slice(name);
    padded[LENGTH] = name.len() as u8;
    Some(padded)
}

/// Where a name stands in [`TABLE`].
#[inline]
const fn slot(name: &Padded, multiplier: u64) -> usize {
    // The longest known names have less than three words.
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, ..] = *name;
    let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let second = u64::from_le_bytes([i, j, k, l, m, n, o, p]);
    let third = u64::from_le_bytes([q, r, s, t, u, v, w, x]);
    ((first ^ second ^ third).wrapping_mul(multiplier) >> 56) as usize
}

/// The known names by [`slot`]: each has one of its own.
static TABLE: [(Padded, HeaderId); 256] = table(MULTIPLIER);

/// Spreads the known names so that no two share a slot.
const MULTIPLIER: u64 = multiplier();

const fn multiplier() -> u64 {
    let mut multiplier: u64 = 1;
    loop {
        // Any sequence of odd numbers would do.
        multiplier = multiplier.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(2);
        let (mut taken, mut at) = ([false; 256], 0);
        while at < HeaderId::ALL.len() {
            let slot = slot(&known(HeaderId::ALL[at]), multiplier);
            if taken[slot] {
                break;
            }
            taken[slot] = true;
            at += 1;
        }
        if at == HeaderId::ALL.len() {
            return multiplier;
        }
    }
}

const fn table(multiplier: u64) -> [(Padded, HeaderId); 256] {
    let mut table = [([0; 32], HeaderId::Other); 256];
    let mut at = 0;
    while at < HeaderId::ALL.len() {
        let name = known(HeaderId::ALL[at]);
        table[slot(&name, multiplier)] = (name, HeaderId::ALL[at]);
        at += 1;
    }
    table
}

/// A header name as it is read, in lower case.
pub struct LowerName(Padded);

/// For each length of a name, the bytes of the width that belong to it.
static KEEP: [Padded; 32] = {
    let (mut keep, mut length) = ([[0; 32]; 32], 0);
    while length < 32 {
        let mut at = 0;
        while at < length {
            keep[length][at] = 0xff;
            at += 1;
        }
        length += 1;
    }
    keep
};

impl LowerName {
    /// Reads the name that `bytes` begin with, up to its colon, and returns its id; `None` where that is no token, or a
    /// longer one than any known name.
    // Handing it over would cost as much as reading it.
    #[inline(always)]
    pub fn read(bytes: &[u8]) -> Option<(LowerName, HeaderId)> {
        let mut padded = match bytes.first_chunk() {
            Some(start) => *start,
            None => short(bytes),
        };
        let length = colon(&padded)?;
        // All of the width at once: a loop over the name's own length takes longer.
        for (byte, keep) in padded.iter_mut().zip(&KEEP[length]) {
            *byte = byte.to_ascii_lowercase() & keep;
        }
        padded[LENGTH] = length as u8;
        let id = HeaderId::of_padded(&padded);
        // A known name is a token.
        let is_name =
            id != HeaderId::Other || (length > 0 && bytes[..length].iter().all(|byte| is_token(*byte)));
        is_name.then_some((LowerName(padded), id))
    }

    /// How many bytes it has.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "only its place in a line is asked for")]
    pub fn len(&self) -> usize {
        usize::from(self.0[LENGTH])
    }

    /// Adds it at the end of a text.
    #[inline]
    pub(super) fn push(&self, text: &mut Vec<u8>) {
        let end = text.len() + self.len();
        // So many bytes, whatever its length, are copied without a loop.
        text.extend_from_slice(&self.0);
        text.truncate(end);
    }
}

/// The last bytes of a head, where fewer are left than the width.
fn short(bytes: &[u8]) -> Padded {
    let mut padded = [0; 32];
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}

/// Where the first colon stands.
#[inline]
fn colon(bytes: &Padded) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().enumerate().find_map(|(at, word)| {
        // The high bit of each byte that is zero. A borrow can reach only bytes behind the first found.
        let word = u64::from_le_bytes(*word) ^ (ONES * b':' as u64);
        let found = word.wrapping_sub(ONES) & !word & (ONES << 7);
        (found != 0).then(|| at * 8 + found.trailing_zeros() as usize / 8)
    })
}

/// Brings a name into lower case, and returns its id.
#[inline]
pub(super) fn lower(name: &mut [u8]) -> HeaderId {
    let Some(mut padded) = padded(name) else {
        name.make_ascii_lowercase();
        return HeaderId::Other;
    };
    // All of it at once: a loop over the name's own length takes longer.
    padded.make_ascii_lowercase();
    name.copy_from_slice(&padded[..name.len()]);
    HeaderId::of_padded(&padded)
}

impl HeaderId {
    /// The id of a name in lower case.
    #[inline]
    pub fn of(name: &[u8]) -> HeaderId {
        padded(name).map_or(HeaderId::Other, |padded| HeaderId::of_padded(&padded))
    }

    #[inline]
    fn of_padded(name: &Padded) -> HeaderId {
        let (known, id) = &TABLE[slot(name, MULTIPLIER)];
        if known == name { *id } else { HeaderId::Other }
    }

    /// Whether the line speaks of one connection alone and is never passed on (RFC 9110 section 7.6.1).
    pub const fn hop_by_hop(self) -> bool {
        self.classes() & HOP != 0
    }

    /// Whether the line of a client is not passed on as it is: [`HeaderId::hop_by_hop`] or [`HeaderId::gateway_owned`].
    pub const fn stays(self) -> bool {
        self.classes() & (HOP | OWNED) != 0
    }

    /// Whether a request is judged by it before anything else sees it: what the gate alone says, and what bears on whether
    /// it can be served.
    pub const fn judged(self) -> bool {
        self.classes() & (OWNED | JUDGED) != 0
    }

    /// Whether the gate alone says it to an upstream (forwarding, request id, trace context, leaving HTTP).
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

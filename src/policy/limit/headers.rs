//! The header fields that tell a client what is left of its limits.
//!
//! draft-ietf-httpapi-ratelimit-headers in three of its versions, and the `X-RateLimit-*` fields of old. An answer has
//! the fields of every style that a limit of its route asks for. Draft 8 has a member for each limit, in the order they
//! were asked; the other styles have room for one limit, which is the strictest.

use std::cmp::Reverse;
use std::time::Duration;

use crate::exchange::{Headers, Quota};
use crate::runtime::clock;

/// How the fields are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderStyle {
    /// `RateLimit-Policy: "NAME"; q=100; w=60; pk=:...:` and `RateLimit: "NAME"; r=99; t=60`, structured fields.
    Draft8,
    /// `RateLimit-Policy: 100;w=60` and `RateLimit: limit=100, remaining=99, reset=60`.
    Draft7,
    /// `RateLimit-Policy: 100;w=60`, `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`.
    Draft6,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining`, and `X-RateLimit-Reset` as Unix time.
    Legacy,
}

impl HeaderStyle {
    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            HeaderStyle::Draft8 => "draft-8",
            HeaderStyle::Draft7 => "draft-7",
            HeaderStyle::Draft6 => "draft-6",
            HeaderStyle::Legacy => "legacy",
        }
    }
}

/// Two styles that write one field in two grammars: together they are no structured field (RFC 9651), and a client can
/// read neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The style of the one side.
    pub mine: HeaderStyle,
    /// The style of the other side.
    pub theirs: HeaderStyle,
    /// The field.
    pub field: &'static str,
}

/// Several styles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Styles(u8);

impl Styles {
    /// These.
    pub fn of(styles: &[HeaderStyle]) -> Styles {
        Styles(styles.iter().fold(0, |all, style| all | 1 << *style as u8))
    }

    /// Whether this one is among them.
    pub fn has(self, style: HeaderStyle) -> bool {
        self.0 & 1 << style as u8 != 0
    }

    /// These and those.
    pub(super) fn and(self, other: Styles) -> Styles {
        Styles(self.0 | other.0)
    }

    /// One style of these and one of those that no answer can have both of, if there are any.
    pub fn conflict(self, other: Styles) -> Option<Conflict> {
        const PAIRS: [(HeaderStyle, HeaderStyle, &str); 2] = [
            (HeaderStyle::Draft8, HeaderStyle::Draft7, "RateLimit"),
            (HeaderStyle::Draft8, HeaderStyle::Draft6, "RateLimit-Policy"),
        ];
        let both_ways = PAIRS.into_iter().flat_map(|(a, b, field)| [(a, b, field), (b, a, field)]);
        let mut found = both_ways.filter(|(mine, theirs, _)| self.has(*mine) && other.has(*theirs));
        found.next().map(|(mine, theirs, field)| Conflict { mine, theirs, field })
    }

    /// Whether answers get no such field.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A limit's constant parts of the fields.
pub struct FieldParts {
    /// The name in draft 8, quoted (a String of RFC 9651 section 3.3.3); empty: made from limit and window.
    name: Box<[u8]>,
    /// The window in microseconds.
    window_us: u64,
}

impl FieldParts {
    /// Under this name, or under one that is made of the limit and the window (`5-in-2hrs`).
    pub fn new(name: Option<&str>, window_us: u64) -> FieldParts {
        let mut quoted = Vec::new();
        if let Some(name) = name {
            quoted.push(b'"');
            for byte in name.bytes() {
                match byte {
                    b'"' | b'\\' => quoted.extend_from_slice(&[b'\\', byte]),
                    0x20..=0x7e => quoted.push(byte),
                    _ => quoted.push(b'_'),
                }
            }
            quoted.push(b'"');
        }
        FieldParts { name: quoted.into(), window_us }
    }

    /// The window in whole seconds, rounded up.
    fn window(&self) -> u64 {
        self.window_us.div_ceil(1_000_000)
    }

    fn name(&self, limit: u64, out: &mut Vec<u8>) {
        if !self.name.is_empty() {
            out.extend_from_slice(&self.name);
            return;
        }
        out.push(b'"');
        push_number(out, limit);
        out.extend_from_slice(b"-in-");
        let seconds = self.window();
        let (number, unit) = match seconds {
            s if s % 86_400 == 0 => (s / 86_400, if s == 86_400 { "day" } else { "days" }),
            s if s % 3600 == 0 => (s / 3600, if s == 3600 { "hr" } else { "hrs" }),
            s if s % 60 == 0 => (s / 60, "min"),
            s => (s, "sec"),
        };
        push_number(out, number);
        out.extend_from_slice(unit.as_bytes());
        out.push(b'"');
    }
}

/// The Unix time in whole seconds, rounded up, so many microseconds from now. To be asked when a limit decides: an answer
/// that takes its time does not move the moment.
pub(super) fn unix_time_in(micros: u64) -> u64 {
    let now = clock::since_epoch();
    let then = now.saturating_add(Duration::from_micros(micros));
    then.as_secs().saturating_add(u64::from(then.subsec_nanos() > 0))
}

/// Writes the fields of what the limits have said, in every one of the styles. Fields of this family that stand there
/// already (an upstream's own limit) go, for they would contradict ours; an application's `X-RateLimit-*` fields go only
/// where ours are written.
pub(super) fn write<'a>(
    of: impl Fn(&Quota) -> Option<&'a FieldParts>,
    styles: Styles,
    quotas: &[Quota],
    headers: &mut Headers,
) {
    let Some(strictest) = quotas.iter().min_by_key(|quota| strictness(quota)) else { return };
    if styles.is_empty() {
        return;
    }
    headers.retain(|_, name, _| !name.starts_with(b"ratelimit"));
    if styles.has(HeaderStyle::Draft8) {
        let parts = || quotas.iter().filter_map(|quota| of(quota).zip(Some(quota))).enumerate();
        headers.push_written(b"ratelimit-policy", |out| {
            parts().for_each(|(at, (parts, quota))| draft_8(at, parts, quota, Member::Policy, out));
        });
        headers.push_written(b"ratelimit", |out| {
            parts().for_each(|(at, (parts, quota))| draft_8(at, parts, quota, Member::State, out));
        });
    }
    let window = of(strictest).map_or(0, FieldParts::window);
    write_one(strictest, window, styles, headers);
}

/// The least is the strictest: a limit that refuses before all others, and of several the one that refuses longest,
/// which is the one that `Retry-After` follows; else the one with the least left, then the one that takes longest.
fn strictness(quota: &Quota) -> (bool, Reverse<u64>, u64, Reverse<u64>) {
    let wait = if quota.refused { quota.reset } else { 0 };
    (!quota.refused, Reverse(wait), quota.remaining, Reverse(quota.reset))
}

/// The styles that have room for one limit. `window` is in seconds.
fn write_one(quota: &Quota, window: u64, styles: Styles, headers: &mut Headers) {
    let number = |name: &[u8], number, headers: &mut Headers| {
        headers.push_written(name, |out| push_number(out, number));
    };
    if styles.has(HeaderStyle::Draft7) || styles.has(HeaderStyle::Draft6) {
        headers.push_written(b"ratelimit-policy", |out| {
            push_number(out, quota.limit);
            out.extend_from_slice(b";w=");
            push_number(out, window);
        });
    }
    if styles.has(HeaderStyle::Draft7) {
        headers.push_written(b"ratelimit", |out| {
            for (word, number) in
                [("limit=", quota.limit), (", remaining=", quota.remaining), (", reset=", quota.reset)]
            {
                out.extend_from_slice(word.as_bytes());
                push_number(out, number);
            }
        });
    }
    if styles.has(HeaderStyle::Draft6) {
        number(b"ratelimit-limit", quota.limit, headers);
        number(b"ratelimit-remaining", quota.remaining, headers);
        number(b"ratelimit-reset", quota.reset, headers);
    }
    if styles.has(HeaderStyle::Legacy) {
        headers.retain(|_, name, _| !name.starts_with(b"x-ratelimit-"));
        number(b"x-ratelimit-limit", quota.limit, headers);
        number(b"x-ratelimit-remaining", quota.remaining, headers);
        number(b"x-ratelimit-reset", quota.resets_at, headers);
    }
}

/// Which of the two fields of draft 8.
#[derive(Clone, Copy)]
enum Member {
    Policy,
    State,
}

fn draft_8(at: usize, parts: &FieldParts, quota: &Quota, member: Member, out: &mut Vec<u8>) {
    if at > 0 {
        out.extend_from_slice(b", ");
    }
    parts.name(quota.limit, out);
    match member {
        Member::Policy => {
            out.extend_from_slice(b"; q=");
            push_number(out, quota.limit);
            out.extend_from_slice(b"; w=");
            push_number(out, parts.window());
            if let Some(partition) = quota.partition {
                out.extend_from_slice(b"; pk=:");
                out.extend_from_slice(&partition);
                out.push(b':');
            }
        }
        Member::State => {
            out.extend_from_slice(b"; r=");
            push_number(out, quota.remaining);
            out.extend_from_slice(b"; t=");
            push_number(out, quota.reset);
        }
    }
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

//! The header fields that tell a client what is left of its limits.
//!
//! draft-ietf-httpapi-ratelimit-headers in three of its versions, and the `X-RateLimit-*` fields of old. Draft 8 tells
//! every limit that has this style, a member each, in the order they were asked; the others can tell one only, and
//! tell the strictest.

use std::time::Duration;

use smallvec::SmallVec;

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

    /// Whether the client is told nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A limit's constant parts of the fields.
pub struct Told {
    /// The name in draft 8, quoted (a String of RFC 9651 section 3.3.3); empty: made from limit and window.
    name: Box<[u8]>,
    /// The window in microseconds.
    window_us: u64,
}

impl Told {
    /// Under this name, or under one that is made of the limit and the window (`5-in-2hrs`).
    pub fn new(name: Option<&str>, window_us: u64) -> Told {
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
        Told { name: quoted.into(), window_us }
    }

    /// The window in whole seconds, rounded up.
    fn window(&self) -> u64 {
        self.window_us.div_ceil(1_000_000)
    }

    fn name(&self, limit: u64, out: &mut Value) {
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

/// Writes the fields of what the limits have said. Fields of this family that stand there already (an upstream's own
/// limit) go, for they would contradict ours; an application's `X-RateLimit-*` fields go only where ours are written.
pub(super) fn write<'a>(
    of: impl Fn(&Quota) -> Option<(&'a Told, Styles)>,
    quotas: &[Quota],
    headers: &mut Headers,
) {
    let has = |quota: &Quota, style| of(quota).is_some_and(|(_, styles)| styles.has(style));
    let strictest = |style| {
        let strict = |quota: &&Quota| (quota.remaining, std::cmp::Reverse(quota.reset));
        quotas.iter().filter(|quota| has(quota, style)).min_by_key(strict)
    };
    if quotas.iter().all(|quota| of(quota).is_none_or(|(_, styles)| styles.is_empty())) {
        return;
    }
    headers.retain(|_, name, _| !name.starts_with(b"ratelimit"));

    if quotas.iter().any(|quota| has(quota, HeaderStyle::Draft8)) {
        let (mut policy, mut state) = (Value::new(), Value::new());
        for quota in quotas.iter().filter(|quota| has(quota, HeaderStyle::Draft8)) {
            if let Some((told, _)) = of(quota) {
                draft_8(told, quota, &mut policy, &mut state);
            }
        }
        headers.push_judged(b"ratelimit-policy", &policy);
        headers.push_judged(b"ratelimit", &state);
    }
    let window = |quota: &Quota| of(quota).map_or(0, |(told, _)| told.window());
    if let Some(quota) = strictest(HeaderStyle::Draft7) {
        headers.push_judged(b"ratelimit-policy", &old_policy(quota, window(quota)));
        let mut value = Value::new();
        for (word, number) in
            [("limit=", quota.limit), (", remaining=", quota.remaining), (", reset=", quota.reset)]
        {
            value.extend_from_slice(word.as_bytes());
            push_number(&mut value, number);
        }
        headers.push_judged(b"ratelimit", &value);
    }
    if let Some(quota) = strictest(HeaderStyle::Draft6) {
        if strictest(HeaderStyle::Draft7).is_none_or(|told| told.place != quota.place) {
            headers.push_judged(b"ratelimit-policy", &old_policy(quota, window(quota)));
        }
        headers.push_judged(b"ratelimit-limit", &number(quota.limit));
        headers.push_judged(b"ratelimit-remaining", &number(quota.remaining));
        headers.push_judged(b"ratelimit-reset", &number(quota.reset));
    }
    if let Some(quota) = strictest(HeaderStyle::Legacy) {
        headers.retain(|_, name, _| !name.starts_with(b"x-ratelimit-"));
        headers.push_judged(b"x-ratelimit-limit", &number(quota.limit));
        headers.push_judged(b"x-ratelimit-remaining", &number(quota.remaining));
        headers.push_judged(b"x-ratelimit-reset", &number(quota.resets_at));
    }
}

fn draft_8(told: &Told, quota: &Quota, policy: &mut Value, state: &mut Value) {
    for value in [&mut *policy, &mut *state] {
        if !value.is_empty() {
            value.extend_from_slice(b", ");
        }
        told.name(quota.limit, value);
    }
    policy.extend_from_slice(b"; q=");
    push_number(policy, quota.limit);
    policy.extend_from_slice(b"; w=");
    push_number(policy, told.window());
    if let Some(partition) = quota.partition {
        policy.extend_from_slice(b"; pk=:");
        policy.extend_from_slice(&partition);
        policy.push(b':');
    }
    state.extend_from_slice(b"; r=");
    push_number(state, quota.remaining);
    state.extend_from_slice(b"; t=");
    push_number(state, quota.reset);
}

fn old_policy(quota: &Quota, window: u64) -> Value {
    let mut value = number(quota.limit);
    value.extend_from_slice(b";w=");
    push_number(&mut value, window);
    value
}

/// One limit's fields fit.
type Value = SmallVec<[u8; 128]>;

fn number(number: u64) -> Value {
    let mut value = Value::new();
    push_number(&mut value, number);
    value
}

fn push_number(out: &mut Value, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

//! The header fields that tell a client what is left of its limit.

use smallvec::SmallVec;

use crate::exchange::{Headers, Quota};

/// How the fields are written; every style ends in the same [`Quota`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderStyle {
    /// draft-ietf-httpapi-ratelimit-headers-07: `RateLimit-Policy: 100;w=60` and
    /// `RateLimit: limit=100, remaining=99, reset=60`.
    Draft7,
}

/// Writes the fields in these styles. Fields of this family that stand there already (an upstream's own limit) go,
/// for they would contradict ours; an application's `X-RateLimit-*` fields stay.
pub fn write(styles: &[HeaderStyle], quota: &Quota, headers: &mut Headers) {
    if styles.is_empty() {
        return;
    }
    headers.retain(|_, name, _| !name.starts_with(b"ratelimit"));
    for style in styles {
        match style {
            HeaderStyle::Draft7 => draft_7(quota, headers),
        }
    }
}

fn draft_7(quota: &Quota, headers: &mut Headers) {
    let mut value = Value::new();
    push_number(&mut value, quota.limit);
    value.extend_from_slice(b";w=");
    push_number(&mut value, quota.window);
    headers.push_judged(b"ratelimit-policy", &value);

    value.clear();
    value.extend_from_slice(b"limit=");
    push_number(&mut value, quota.limit);
    value.extend_from_slice(b", remaining=");
    push_number(&mut value, quota.remaining);
    value.extend_from_slice(b", reset=");
    push_number(&mut value, quota.reset);
    headers.push_judged(b"ratelimit", &value);
}

/// Three numbers of 20 digits and the words between them fit.
type Value = SmallVec<[u8; 96]>;

fn push_number(out: &mut Value, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

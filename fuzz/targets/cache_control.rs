//! Any lines about caching: what they say is what a plain reader makes of them, and no number overflows.
//! The first byte of a line says which it is: `e` Expires, `d` Date, `a` Age, all others Cache-Control.
#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use portcullis::cache::control::{CacheControl, age};
use portcullis::exchange::Headers;

/// The largest number of seconds (RFC 9111 section 1.2.2).
const MANY: u64 = 1 << 31;

/// The directives of a line, split at the commas that no quotes hide, and whether a quote was left open.
fn split(line: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut all, mut now) = (Vec::new(), Vec::new());
    let (mut quoted, mut escaped) = (false, false);
    for &byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                all.push(std::mem::take(&mut now));
                continue;
            }
            _ => {}
        }
        now.push(byte);
    }
    all.push(now);
    (all, quoted)
}

/// Digits alone, as long as they may be.
fn seconds(text: &[u8]) -> Option<u64> {
    let digits =
        std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    if digits.is_empty() {
        return None;
    }
    let counted = digits.trim_start_matches('0');
    if counted.len() > 15 { Some(MANY) } else { Some(counted.parse().unwrap_or(0).min(MANY)) }
}

/// What lines say, read the plain way.
fn plain(lines: &[&[u8]]) -> CacheControl {
    let mut said = CacheControl::default();
    for line in lines {
        let (directives, open) = split(line);
        // What stands behind a quote that never closes may have been the strictest.
        said.no_store |= open;
        said.broken |= open;
        for directive in directives {
            let text = directive.trim_ascii();
            let (name, value) = match text.iter().position(|byte| *byte == b'=') {
                Some(at) => (text[..at].trim_ascii(), Some(text[at + 1..].trim_ascii())),
                None => (text, None),
            };
            let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
            let slip = text.contains(&b';') && !text.contains(&b'"');
            if slip || !name.iter().all(token) {
                (said.no_store, said.broken) = (true, true);
                continue;
            }
            let value = value.map(|value| match value {
                [b'"', inner @ .., b'"'] => inner,
                value => value,
            });
            let time = |slot: &mut Option<u64>| {
                let new = value.and_then(seconds).unwrap_or(0);
                *slot = Some(slot.map_or(new, |old| old.min(new)));
            };
            match name.to_ascii_lowercase().as_slice() {
                b"no-store" => said.no_store = true,
                b"no-cache" => said.no_cache = true,
                b"private" => said.private = true,
                b"public" => said.public = true,
                b"must-revalidate" => said.must_revalidate = true,
                b"proxy-revalidate" => said.proxy_revalidate = true,
                b"must-understand" => said.must_understand = true,
                b"only-if-cached" => said.only_if_cached = true,
                b"max-age" => time(&mut said.max_age),
                b"s-maxage" => time(&mut said.s_maxage),
                b"stale-if-error" => time(&mut said.stale_if_error),
                b"stale-while-revalidate" => time(&mut said.stale_while_revalidate),
                _ => {}
            }
        }
    }
    said
}

fuzz_target!(|bytes: &[u8]| {
    let mut headers = Headers::new();
    let mut lines = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let (name, value) = match line {
            [b'e', value @ ..] => ("expires", value),
            [b'd', value @ ..] => ("date", value),
            [b'a', value @ ..] => ("age", value),
            [_, value @ ..] => ("cache-control", value),
            [] => continue,
        };
        if headers.append(name, value).is_ok() && name == "cache-control" {
            lines.push(value);
        }
    }
    let said = CacheControl::read(&headers);
    // A broken line hides what it might have said besides; all that counts of it is that nothing may be kept.
    let expected = plain(&lines);
    assert_eq!(said.no_store, expected.no_store);
    if !said.no_store {
        assert_eq!(said, expected);
    }
    // The order of the lines says nothing.
    let mut turned = Headers::new();
    for line in lines.iter().rev() {
        turned.append("cache-control", line).expect("it was judged");
    }
    assert_eq!(CacheControl::read(&turned), said);
    for time in [said.max_age, said.s_maxage, said.stale_if_error, said.stale_while_revalidate] {
        assert!(time.is_none_or(|seconds| seconds <= MANY));
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    // No date of HTTP has more than four digits for its year.
    let longest = Duration::from_secs(10_000 * 366 * 86_400);
    let lifetime = said.lifetime(&headers, now);
    assert!(lifetime.is_none_or(|lifetime| lifetime <= longest));
    if let Some(seconds) = said.s_maxage.or(said.max_age) {
        assert_eq!(lifetime, Some(Duration::from_secs(seconds)));
    }
    for waited in [Duration::ZERO, Duration::from_secs(7), Duration::MAX] {
        let old = age(&headers, now, waited);
        let first = headers.get("age").and_then(|value| value.split(|byte| *byte == b',').next());
        let said = first.and_then(|value| seconds(value.trim_ascii())).unwrap_or_default();
        // The time on the way counts also where nothing is said of an age.
        let least = Duration::from_secs(said).saturating_add(waited);
        assert!(old >= least && old <= least.max(longest));
    }
});

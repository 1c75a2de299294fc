//! Any bytes as a request target: what is matched is what is sent, in one form, and nothing climbs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::exchange::target::{ParsedTarget, PathRules, TargetError, authority_of, percent_decode};
use portcullis::exchange::{Headers, Target};
use portcullis::http1::encode::request_head;
use portcullis::http1::{Framing, HeadLimits, parse_request};

const ALL: [PathRules; 4] = [
    PathRules { encoded_slash_keep: false, semicolon_keep: false },
    PathRules { encoded_slash_keep: true, semicolon_keep: false },
    PathRules { encoded_slash_keep: false, semicolon_keep: true },
    PathRules::KEEP,
];

/// Escapes of unreserved characters as what they stand for, what browsers leave unencoded as its escape with capital
/// digits, also where it came as one, and all others as they are.
fn plain(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(letter) = rest.chars().next() {
        let byte = rest.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok()).map(char::from);
        match byte
            .filter(|byte| letter == '%' && (byte.is_ascii_alphanumeric() || "-._~[]^|".contains(*byte)))
        {
            Some(byte) => {
                match byte {
                    '[' | ']' | '^' | '|' => out.push_str(&format!("%{:02X}", u32::from(byte))),
                    byte => out.push(byte),
                }
                rest = &rest[3..];
            }
            None => {
                match letter {
                    '[' | ']' | '^' | '|' => out.push_str(&format!("%{:02X}", u32::from(letter))),
                    letter => out.push(letter),
                }
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    out
}

/// A path with its dot segments and empty segments resolved, the slow way (RFC 3986 section 5.2.4).
fn resolved(path: &str) -> String {
    let path = plain(path);
    let (mut names, mut folder) = (Vec::new(), false);
    for name in path.split('/').skip(1) {
        folder = matches!(name, "" | "." | "..");
        match name {
            "" | "." => {}
            ".." => drop(names.pop().expect("nothing that was taken climbs")),
            name => names.push(name),
        }
    }
    let names: String = names.iter().map(|name| format!("/{name}")).collect();
    if folder { names + "/" } else { names }
}

fn judge(raw: &str, parsed: &ParsedTarget, rules: PathRules) {
    let target = &parsed.target;
    let (text, path) = (target.as_str(), target.path());
    // The parts are the whole.
    let whole = target.query().map_or(path.to_owned(), |query| format!("{path}?{query}"));
    assert_eq!(text, whole);
    assert_eq!(parsed.authority.as_deref().map(str::as_bytes), authority_of(raw.as_bytes()));
    if target.is_asterisk() {
        assert_eq!(raw, "*");
        return;
    }
    // What came is what is there: the query byte for byte, the path resolved.
    let sent = parsed.authority.as_ref().map_or(raw, |authority| {
        raw.split_once("://")
            .and_then(|(_, rest)| rest.strip_prefix(authority.as_str()))
            .expect("it stands there")
    });
    let (sent_path, sent_query) =
        sent.split_once('?').map_or((sent, None), |(path, query)| (path, Some(query)));
    assert_eq!(target.query(), sent_query);
    assert_eq!(path, resolved(if sent_path.is_empty() { "/" } else { sent_path }));
    // Nothing climbs, however a service decodes it.
    assert!(path.starts_with('/') && !path.contains("//"));
    for segment in path.split('/') {
        let decoded = percent_decode(segment);
        for part in decoded.split(|byte| *byte == b'/') {
            let name = part.split(|byte| *byte == b';').next().unwrap_or_default();
            assert!(name != b"." && name != b"..", "{text}");
        }
        assert!(rules.encoded_slash_keep || !decoded.contains(&b'/'), "{text}");
        assert!(!decoded.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\'), "{text}");
    }
    assert!(rules.semicolon_keep || !path.contains(';'), "{text}");
    // Once is enough, whoever reads it again.
    let again = Target::parse(text.as_bytes(), rules).expect("a normalised target is one");
    assert_eq!((again.target.as_str(), again.target.path(), again.authority), (text, path, None));
    let rewritten = Target::from_rewritten(text, rules).expect("as a rewrite too");
    assert_eq!((rewritten.as_str(), rewritten.path()), (text, path));
    // A service reads from the wire what was matched here.
    let mut headers = Headers::new();
    headers.push_judged(b"host", b"a");
    let mut wire = Vec::new();
    request_head(&mut wire, &http::Method::GET, text, &headers, Framing::None);
    let limits = HeadLimits { head: wire.len(), headers: 4, target: text.len() };
    let read = parse_request(&wire, &limits, Headers::new()).ok().flatten().expect("it can be sent");
    assert_eq!(&wire[read.target], text.as_bytes());
}

fuzz_target!(|bytes: &[u8]| {
    let widest = Target::parse(bytes, PathRules::KEEP);
    for rules in ALL {
        let parsed = Target::parse(bytes, rules);
        // Judged by wider rules first and by its own later comes to the same.
        let later = widest.clone().and_then(|parsed| parsed.target.check(rules).map(|()| parsed));
        match (&parsed, &later) {
            (Ok(now), Ok(later)) => assert_eq!(now, later),
            (Err(TargetError::EncodedSlash | TargetError::Semicolon), Err(_)) => {}
            (Err(now), Err(later)) => assert_eq!(now, later),
            (now, later) => panic!("at once {now:?}, later {later:?}"),
        }
        if let Ok(parsed) = parsed {
            judge(std::str::from_utf8(bytes).expect("what was taken is ASCII"), &parsed, rules);
        }
    }
});

//! Any lines of cookies: conditions and routes find in them what a plain reader finds, however they are spread. After a
//! first byte `S` it is a `Set-Cookie` of a service: nothing inside is named any more, and all else is as it was.
#![no_main]

#[path = "support/exchange.rs"]
mod support;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portcullis::action::proxy::public::{Inside, Map};
use portcullis::exchange::headers::valid_value;
use portcullis::exchange::{Exchange, Headers, JsonValue};
use portcullis::expression::{Expression, Scope};
use portcullis::route::{Expect, Predicate};

fn compile(text: &str) -> Expression {
    Expression::compile(text, &Scope::default()).expect("an expression of ours")
}

static ONE: LazyLock<Expression> = LazyLock::new(|| compile("request.cookies.a"));
static HAS: LazyLock<Expression> = LazyLock::new(|| compile("has(request.cookies.a)"));
static IS: LazyLock<Expression> = LazyLock::new(|| compile("request.cookies.a == 'b'"));
static ALL: LazyLock<Expression> = LazyLock::new(|| compile("request.cookies"));
/// The same by the interpreter, which is given all of them.
static MIXED: LazyLock<Expression> =
    LazyLock::new(|| compile("request.cookies.map(name, name).exists(x, x == 'a')"));

/// Names and values of all the lines, in their order.
fn pairs(lines: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    for piece in lines.iter().flat_map(|line| line.split(|byte| *byte == b';')) {
        let piece = piece.trim_ascii();
        if let Some(equals) = piece.iter().position(|byte| *byte == b'=') {
            found.push((piece[..equals].to_vec(), piece[equals + 1..].to_vec()));
        }
    }
    found
}

fn matches(exchange: &Exchange, expect: Expect) -> bool {
    Predicate::default().cookie("a", expect).holds(exchange)
}

fn judge(lines: &[&[u8]]) -> (Option<String>, bool, Option<JsonValue>, [bool; 3]) {
    let mut headers = Headers::new();
    lines.iter().for_each(|line| headers.append("cookie", line).expect("it was judged"));
    let exchange = support::exchange("/", headers, None);
    let found = pairs(lines);
    // A condition reads the first of a name, as it was sent.
    let first = found.iter().find(|(name, _)| name == b"a").map(|(_, value)| value);
    let text = first.and_then(|value| String::from_utf8(value.clone()).ok());
    let one = ONE.text(&exchange).ok().map(|text| text.into_owned());
    assert_eq!(one, text);
    assert_eq!(HAS.bool(&exchange).ok(), Some(first.is_some()));
    assert_eq!(IS.bool(&exchange).ok(), text.as_ref().map(|text| text == "b"));
    let all = ALL.value(&exchange).ok();
    let named = |(name, value): &(Vec<u8>, Vec<u8>)| {
        Some((String::from_utf8(name.clone()).ok()?, String::from_utf8(value.clone()).ok()?))
    };
    let readable: Option<Vec<_>> = found.iter().map(named).collect();
    match (&all, readable) {
        (Some(JsonValue::Object(all)), Some(readable)) => {
            for (name, value) in &readable {
                let first = readable.iter().find(|(other, _)| other == name).map(|(_, value)| value);
                assert!(
                    all.get(name).and_then(JsonValue::as_str) == first.map(String::as_str),
                    "{name}={value}"
                );
            }
            assert!(all.keys().all(|name| readable.iter().any(|(other, _)| other == name)));
            assert_eq!(MIXED.bool(&exchange).ok(), Some(first.is_some()));
        }
        (None, None) => {}
        (all, readable) => panic!("{all:?}, plainly {readable:?}"),
    }
    // A route looks at all of a name, and at no quotes or blanks around a value.
    let bare = |value: &[u8]| -> Vec<u8> {
        let value = value.trim_ascii();
        let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        inner.unwrap_or(value).to_vec()
    };
    let values: Vec<Vec<u8>> =
        found.iter().filter(|(name, _)| name.trim_ascii() == b"a").map(|(_, value)| bare(value)).collect();
    let present = matches(&exchange, Expect::Present);
    let equal = matches(&exchange, Expect::Value("b".into()));
    assert_eq!(present, !values.is_empty());
    assert_ne!(present, matches(&exchange, Expect::Absent));
    assert_eq!(equal, values.iter().any(|value| value == b"b"));
    (text, first.is_some(), all, [present, equal, IS.holds(&exchange)])
}

struct Users;

impl Inside for Users {
    fn is_named(&self, host: &str) -> bool {
        ["users.internal", "users.internal:3001", "10.0.0.1"].iter().any(|own| own.eq_ignore_ascii_case(host))
    }

    fn is_below(&self, domain: &str) -> bool {
        domain.eq_ignore_ascii_case("internal")
    }
}

/// The attributes of a `Set-Cookie`, each as a name in lower case, its value, and how it stands there.
fn attributes(text: &str) -> Vec<(String, &str, &str)> {
    let read = |part| {
        let (name, value) = str::split_once(part, '=').unwrap_or((part, ""));
        (name.trim().to_ascii_lowercase(), value.trim(), part)
    };
    text.split(';').skip(1).map(read).collect()
}

/// Whether a path is another one or lies below it.
fn lies_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

/// The public path of a cookie's path.
fn public_path(path: &str, public: &str, inner: &str) -> String {
    let whole = path.trim_end_matches('/');
    if whole == inner || lies_below(inner, whole) {
        return if public.is_empty() { "/".to_owned() } else { public.to_owned() };
    }
    let is_public = !public.is_empty() && lies_below(path, public);
    if is_public || !lies_below(path, inner) {
        return path.to_owned();
    }
    let rest = &path[inner.len()..];
    if public.is_empty() && !rest.starts_with('/') { format!("/{rest}") } else { format!("{public}{rest}") }
}

fn set_cookie(text: &str, public: &str, inner: &str, public_host: &str, paths: bool) {
    let map = Map { inside: &Users, public, inner, scheme: "https", public_host };
    let named = |domain: &str| {
        let domain = domain.trim_start_matches('.');
        Users.is_named(domain) || Users.is_below(domain)
    };
    let is_host = text.trim_start().to_ascii_lowercase().starts_with("__host-");
    let moved = |name: &str, value: &str| {
        let path =
            Some(value).filter(|value| paths && !is_host && name == "path" && value.starts_with('/'))?;
        Some(public_path(path, public, inner)).filter(|public| public != path)
    };
    let before = attributes(text);
    let Some(mapped) = map.cookie(text, paths) else {
        let stays = |(name, value, _): &(String, &str, &str)| {
            moved(name, value).is_none() && !(name == "domain" && named(value))
        };
        assert!(before.iter().all(stays), "{text}");
        return;
    };
    assert!(valid_value(mapped.as_bytes()));
    assert_eq!(text.split(';').next(), mapped.split(';').next(), "name and value are the service's own");
    let mut after = attributes(&mapped).into_iter();
    for (name, value, part) in before {
        if name == "domain" && named(value) {
            // An address is no domain, and a cookie of the prefix `__Host-` has none: it stays with the host then.
            if public_host == "shop.example.com:8443" && !is_host {
                assert_eq!(
                    after.next().map(|(name, value, _)| (name, value)),
                    Some((name, "shop.example.com"))
                );
            }
            continue;
        }
        let Some((other, now, stands)) = after.next() else { panic!("{part} is gone from {mapped}") };
        assert_eq!(other, name);
        match moved(&name, value) {
            Some(path) => assert_eq!(now, path),
            None => assert_eq!(stands, part),
        }
    }
    assert_eq!(after.next(), None);
}

fuzz_target!(|bytes: &[u8]| {
    if let [b'S', text @ ..] = bytes {
        let Some(text) = std::str::from_utf8(text).ok().filter(|text| valid_value(text.as_bytes())) else {
            return;
        };
        for (public, inner) in [("/api/users", ""), ("/shop", "/v2"), ("", "/v2"), ("", "")] {
            for paths in [false, true] {
                set_cookie(text, public, inner, "shop.example.com:8443", paths);
                set_cookie(text, public, inner, "[::1]:8443", paths);
            }
        }
        return;
    }
    let valid = |line: &&[u8]| valid_value(line);
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(valid).collect();
    let apart = judge(&lines);
    // HTTP/2 may cut one line into many (RFC 9113 section 8.2.3): it is the same either way.
    let joined = lines.join(&b"; "[..]);
    assert_eq!(judge(&[&joined]), apart);
});

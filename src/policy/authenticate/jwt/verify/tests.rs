use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::{Sha256, Sha384, Sha512};

use super::*;
use crate::policy::authenticate::identity::Unfit;

pub(in super::super) const SECRET: &[u8] =
    b"a secret of the tests, 64 bytes long, which every hash is fine with";
pub(in super::super) const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const NOW: u64 = 1_700_000_000;

pub(in super::super) fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn sign_parts(message: &str, algorithm: Algorithm, secret: &[u8]) -> String {
    fn tag<M: Mac + KeyInit>(secret: &[u8], message: &str) -> Vec<u8> {
        <M as KeyInit>::new_from_slice(secret).unwrap().chain_update(message).finalize().into_bytes().to_vec()
    }
    let tag = match algorithm {
        Algorithm::Hs256 => tag::<Hmac<Sha256>>(secret, message),
        Algorithm::Hs384 => tag::<Hmac<Sha384>>(secret, message),
        Algorithm::Hs512 => tag::<Hmac<Sha512>>(secret, message),
    };
    format!("{message}.{}", encode(tag))
}

pub(in super::super) fn sign(header: &str, payload: &str) -> String {
    sign_parts(&format!("{}.{}", encode(header), encode(payload)), Algorithm::Hs256, SECRET)
}

fn verifier() -> Verifier {
    Verifier {
        keys: vec![(Algorithm::Hs256, Algorithm::Hs256.key(SECRET))],
        issuer: vec![],
        audience: vec![],
        leeway: Duration::ZERO,
        require: vec![],
        identity: IdentityMap::new([("X-User-Id".to_owned(), "sub".to_owned())]).unwrap(),
    }
}

fn judge(verifier: &Verifier, token: &str) -> Result<String, Fault> {
    verifier.verify(token.as_bytes(), Duration::from_secs(NOW)).map(|verified| verified.identity.id)
}

/// Verifies a token of user `u` with these further claims.
fn with(verifier: &Verifier, claims: serde_json::Value) -> Result<String, Fault> {
    let mut all = json!({ "sub": "u" });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    judge(verifier, &sign(HS256, &all.to_string()))
}

fn good() -> Result<String, Fault> {
    Ok("u".to_owned())
}

#[test]
fn a_token_of_the_secret_is_good_and_of_another_is_not() {
    let token = sign(HS256, r#"{"sub":"u"}"#);
    assert_eq!(judge(&verifier(), &token), good());
    let other = Verifier {
        keys: vec![(Algorithm::Hs256, Algorithm::Hs256.key(b"another secret of thirty-two bytes"))],
        ..verifier()
    };
    assert_eq!(judge(&other, &token), Err(Fault::Signature));
}

#[test]
fn only_listed_algorithms_verify() {
    let message =
        |name: &str| format!("{}.{}", encode(json!({ "alg": name }).to_string()), encode(r#"{"sub":"u"}"#));
    for listed in Algorithm::ALL {
        let verifier = Verifier { keys: vec![(*listed, listed.key(SECRET))], ..verifier() };
        for used in Algorithm::ALL {
            let token = sign_parts(&message(used.name()), *used, SECRET);
            let expected = if used == listed { good() } else { Err(Fault::Algorithm) };
            assert_eq!(judge(&verifier, &token), expected, "{used:?} where {listed:?} is listed");
        }
    }
    // The name changed after signing, though both are listed.
    let both = [Algorithm::Hs256, Algorithm::Hs512];
    let verifier = Verifier { keys: both.iter().map(|a| (*a, a.key(SECRET))).collect(), ..verifier() };
    let token = sign_parts(&message("HS512"), Algorithm::Hs256, SECRET);
    assert_eq!(judge(&verifier, &token), Err(Fault::Signature));
}

#[test]
fn no_other_spelling_of_the_algorithm_passes() {
    let payload = r#"{"sub":"u"}"#;
    for alg in [
        json!("none"),
        json!("None"),
        json!("nOnE"),
        json!(""),
        json!("hs256"),
        json!("HS256 "),
        json!("RS256"),
        json!(null),
        json!(["HS256"]),
        json!({ "HS256": 1 }),
        json!(256),
        json!(true),
    ] {
        let header = json!({ "alg": alg }).to_string();
        assert_eq!(judge(&verifier(), &sign(&header, payload)), Err(Fault::Algorithm), "{alg}");
        let unsigned = format!("{}.{}.", encode(&header), encode(payload));
        assert_eq!(judge(&verifier(), &unsigned), Err(Fault::Algorithm), "{alg}");
    }
    assert_eq!(judge(&verifier(), &sign(r#"{"typ":"JWT"}"#, payload)), Err(Fault::Algorithm));
    let stripped = format!("{}.{}.", encode(HS256), encode(payload));
    assert_eq!(judge(&verifier(), &stripped), Err(Fault::Signature));
}

#[test]
fn headers_that_are_no_object_or_ask_for_more_are_refused() {
    let payload = r#"{"sub":"u"}"#;
    for (header, fault) in [
        (r#"{"alg":"HS256","alg":"HS256"}"#, Fault::Header),
        (r#"{"alg":"none","alg":"HS256"}"#, Fault::Header),
        (r#"{"alg":"HS256","jwk":{"k":1,"k":2}}"#, Fault::Header),
        (r#"["HS256"]"#, Fault::Header),
        ("null", Fault::Header),
        ("", Fault::Header),
        (r#"{"alg":"HS256"} x"#, Fault::Header),
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, Fault::Critical),
        (r#"{"alg":"HS256","crit":[]}"#, Fault::Critical),
        (r#"{"alg":"HS256","crit":null}"#, Fault::Critical),
        (r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#, Fault::Critical),
    ] {
        assert_eq!(judge(&verifier(), &sign(header, payload)), Err(fault), "{header}");
    }
    let kid = r#"{"alg":"HS256","kid":"any","typ":"at+jwt","jku":"http://evil.test/"}"#;
    assert_eq!(judge(&verifier(), &sign(kid, payload)), good(), "what is not critical chooses nothing");
}

#[test]
fn payloads_that_are_no_object_or_say_a_thing_twice_are_refused() {
    for payload in [
        "\"u\"",
        "42",
        "null",
        "true",
        "[]",
        "",
        " ",
        "{",
        "{\"sub\":\"u\"}{}",
        "{\"sub\":\"u\"",
        "{'sub':'u'}",
        "{\"sub\":\"u\",\"sub\":\"admin\"}",
        "{\"sub\":\"u\",\"s\\u0075b\":\"admin\"}",
        "{\"sub\":\"u\",\"roles\":{\"a\":1,\"a\":2}}",
        "{\"sub\":\"u\",\"exp\":1e}",
        "{\"sub\":\"u\",\"n\":NaN}",
        "\u{feff}{\"sub\":\"u\"}",
    ] {
        assert_eq!(judge(&verifier(), &sign(HS256, payload)), Err(Fault::Payload), "{payload}");
    }
    let latin =
        sign_parts(&format!("{}.{}", encode(HS256), encode(b"{\"sub\":\"\xe9\"}")), Algorithm::Hs256, SECRET);
    assert_eq!(judge(&verifier(), &latin), Err(Fault::Payload));
}

#[test]
fn depth_is_bounded_before_the_stack_is() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(1500), close.repeat(1500));
        assert_eq!(judge(&verifier(), &sign(HS256, &deep)), Err(Fault::Payload));
        assert_eq!(judge(&verifier(), &sign(&deep, "{}")), Err(Fault::Header));
    }
    let fine = format!("{{\"sub\":\"u\",\"a\":{}1{}}}", "[".repeat(50), "]".repeat(50));
    assert_eq!(judge(&verifier(), &sign(HS256, &fine)), good());
}

#[test]
fn the_form_is_three_parts_of_plain_base64url() {
    let token = sign(HS256, r#"{"sub":"u"}"#);
    let (message, tag) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    for (token, fault) in [
        (String::new(), Fault::Parts),
        ("bad".to_owned(), Fault::Parts),
        (message.to_owned(), Fault::Parts),
        (format!("{token}."), Fault::Parts),
        (format!("{token}.x"), Fault::Parts),
        ("..".to_owned(), Fault::Header),
        (format!("{token}="), Fault::Encoding),
        (format!("{token} "), Fault::Encoding),
        (format!(" {token}"), Fault::Encoding),
        (format!("{header}=.{payload}.{tag}"), Fault::Encoding),
        (format!("{header}.{payload}=.{tag}"), Fault::Encoding),
        (format!("{header}.{payload}.{}", tag.replace(['-', '_'], "+")) + "+", Fault::Encoding),
        (format!("{header}.{payload}.{}", &tag[..42]), Fault::Encoding),
        (format!("{header}.{payload}.{}", &tag[..40]), Fault::Signature),
        (format!("{header}.{payload}.{tag}A"), Fault::Signature),
        ("A".repeat(MAX_TOKEN + 1), Fault::TooLong),
    ] {
        assert_eq!(judge(&verifier(), &token), Err(fault), "{token}");
    }
}

#[test]
fn stray_bits_at_the_end_of_a_part_make_no_second_spelling() {
    let token = sign(HS256, r#"{"sub":"u"}"#);
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = *token.as_bytes().last().unwrap();
    let place = ALPHABET.iter().position(|byte| *byte == last).unwrap();
    // 32 bytes leave two unused bits in the last character.
    for other in &ALPHABET[place + 1..=place | 3] {
        let mut twin = token.clone().into_bytes();
        *twin.last_mut().unwrap() = *other;
        let judged = verifier().verify(&twin, Duration::from_secs(NOW)).map(|_| ());
        assert_eq!(judged, Err(Fault::Encoding));
    }
}

#[test]
fn a_token_ends_at_exp() {
    let now = NOW;
    for (exp, leeway, expected) in [
        (json!(now + 10), 0, good()),
        (json!(now), 0, Err(Fault::Expired)),
        (json!(now - 1), 0, Err(Fault::Expired)),
        (json!(now - 5), 5, Err(Fault::Expired)),
        (json!(now - 5), 6, good()),
        (json!(now - 2), 5, good()),
        (json!(now - 15), 10, Err(Fault::Expired)),
        (json!(0), 0, Err(Fault::Expired)),
        (json!(1), 0, Err(Fault::Expired)),
        (json!(-1), 0, Err(Fault::Expired)),
        (json!(now as f64 + 0.5), 0, good()),
        (json!(now as f64 - 0.5), 0, Err(Fault::Expired)),
        (json!(1e300), 0, good()),
        (json!(u64::MAX), 0, good()),
    ] {
        let verifier = Verifier { leeway: Duration::from_secs(leeway), ..verifier() };
        assert_eq!(with(&verifier, json!({ "exp": exp })), expected, "exp {exp}, leeway {leeway}");
    }
    assert_eq!(with(&verifier(), json!({})), good(), "absent and not required");
}

#[test]
fn a_token_begins_at_nbf() {
    let now = NOW;
    for (nbf, leeway, expected) in [
        (json!(now), 0, good()),
        (json!(now + 1), 0, Err(Fault::NotYet)),
        (json!(now as f64 - 0.001), 0, good()),
        (json!(now as f64 + 0.001), 0, Err(Fault::NotYet)),
        (json!(now + 5), 4, Err(Fault::NotYet)),
        (json!(now + 5), 5, good()),
        (json!(now + 5), 6, good()),
        (json!(now + 15), 10, Err(Fault::NotYet)),
    ] {
        let verifier = Verifier { leeway: Duration::from_secs(leeway), ..verifier() };
        assert_eq!(with(&verifier, json!({ "nbf": nbf })), expected, "nbf {nbf}, leeway {leeway}");
    }
}

#[test]
fn fractions_of_a_second_count() {
    let now = NOW as f64;
    let claims = json!({ "iat": now - 0.25, "exp": now + 60.529, "nbf": now - 0.001 });
    assert_eq!(with(&verifier(), claims), good());
    let verified = |exp: f64, millis| {
        let token = sign(HS256, &json!({ "sub": "u", "exp": exp }).to_string());
        verifier().verify(token.as_bytes(), Duration::from_millis(millis)).is_ok()
    };
    assert!(verified(1000.5, 1_000_499));
    assert!(!verified(1000.5, 1_000_500));
}

#[test]
fn times_are_numbers_or_absent() {
    for wrong in [
        json!(true),
        json!(false),
        json!(null),
        json!(""),
        json!(" "),
        json!("invalid"),
        json!("1893456000"),
        json!([]),
        json!(["foo"]),
        json!({}),
        json!({ "foo": "bar" }),
        json!([1_893_456_000u64]),
    ] {
        for claim in ["exp", "nbf", "iat"] {
            assert_eq!(with(&verifier(), json!({ claim: wrong })), Err(Fault::TimeType), "{claim} {wrong}");
        }
    }
    for claim in ["exp", "nbf", "iat"] {
        let endless = format!("{{\"sub\":\"u\",\"{claim}\":1e999}}");
        assert_eq!(judge(&verifier(), &sign(HS256, &endless)), Err(Fault::TimeType), "{claim}");
    }
    assert_eq!(with(&verifier(), json!({ "iat": NOW + 1000 })), good(), "when it was issued decides nothing");
}

#[test]
fn required_claims_must_be_there() {
    let verifier = Verifier { require: vec!["exp".into(), "role".into()], ..verifier() };
    assert_eq!(with(&verifier, json!({ "exp": NOW + 1, "role": "" })), good());
    assert_eq!(with(&verifier, json!({ "exp": NOW + 1 })), Err(Fault::Required));
    assert_eq!(with(&verifier, json!({ "exp": NOW + 1, "role": null })), Err(Fault::Required));
    assert_eq!(with(&verifier, json!({ "role": "r" })), Err(Fault::Required));
}

#[test]
fn one_audience_of_ours_is_enough() {
    let open = verifier();
    for aud in [json!("urn:foo"), json!(["x"]), json!(1), json!(null)] {
        assert_eq!(with(&open, json!({ "aud": aud })), good(), "not configured, not asked: {aud}");
    }
    let ours = |names: &[&str]| Verifier {
        audience: names.iter().map(|name| (*name).to_owned()).collect(),
        ..verifier()
    };
    for (configured, aud, fits) in [
        (&["portcullis"][..], json!("portcullis"), true),
        (&["portcullis"], json!(["portcullis"]), true),
        (&["portcullis"], json!(["other", "portcullis", "x"]), true),
        (&["no", "portcullis"], json!("portcullis"), true),
        (&["a", "b"], json!(["a", "b"]), true),
        (&["portcullis"], json!("Portcullis"), false),
        (&["portcullis"], json!(["other", "x"]), false),
        (&["no-1", "no-2"], json!("portcullis"), false),
        (&["portcullis"], json!("portcullis other"), false),
        (&["portcullis"], json!([]), false),
        (&["portcullis"], json!(null), false),
        (&["portcullis"], json!([1, 2]), false),
        (&["portcullis"], json!(["portcullis", 1]), false),
        (&["portcullis"], json!([["portcullis"]]), false),
        (&["portcullis"], json!({ "portcullis": true }), false),
        (&["portcullis"], json!(""), false),
    ] {
        let expected = if fits { good() } else { Err(Fault::Audience) };
        assert_eq!(with(&ours(configured), json!({ "aud": aud })), expected, "{configured:?} {aud}");
    }
    assert_eq!(with(&ours(&["portcullis"]), json!({})), Err(Fault::Audience));
}

#[test]
fn the_issuer_is_one_of_ours() {
    assert_eq!(with(&verifier(), json!({ "iss": "foo" })), good());
    let ours = Verifier { issuer: vec!["foo".into(), "bar".into()], ..verifier() };
    assert_eq!(with(&ours, json!({ "iss": "bar" })), good());
    for iss in [json!("other"), json!("Foo"), json!(""), json!(null), json!(["foo"]), json!({ "foo": 1 })] {
        assert_eq!(with(&ours, json!({ "iss": iss })), Err(Fault::Issuer), "{iss}");
    }
    assert_eq!(with(&ours, json!({})), Err(Fault::Issuer));
}

#[test]
fn claims_that_make_no_identity_are_refused() {
    let refused = |payload| judge(&verifier(), &sign(HS256, payload));
    assert_eq!(refused("{}"), Err(Fault::Identity(Unfit::NoId)));
    assert_eq!(refused(r#"{"sub":"a\r\nx-admin: 1"}"#), Err(Fault::Identity(Unfit::Control)));
}

/// The vectors of the Wycheproof project for symmetric keys; see `tests/vectors/README.md`.
#[test]
fn wycheproof() {
    let text = include_str!("../../../../../tests/vectors/wycheproof_jws_hmac.json");
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut tried = 0;
    for group in file["testGroups"].as_array().unwrap() {
        let secret = URL_SAFE_NO_PAD.decode(group["private"]["k"].as_str().unwrap()).unwrap();
        assert_eq!(group["private"]["alg"], "HS256");
        let keys = vec![(Algorithm::Hs256, Algorithm::Hs256.key(&secret))];
        let verifier = Verifier { keys, ..verifier() };
        for test in group["tests"].as_array().unwrap() {
            let id = test["tcId"].as_u64().unwrap();
            // 372 and 373 ask a reader to skip a character that is no base64url; RFC 7515 section 2 knows no skipping.
            // 367 and 370 are marked invalid for a padding that the file has lost: they are 357, letter by letter.
            let expected = match id {
                372 | 373 => false,
                367 | 370 => true,
                _ => test["result"] == "valid",
            };
            let token = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), ToOwned::to_owned);
            let verifies = verifier.signed_payload(token.as_bytes()).is_ok();
            assert_eq!(verifies, expected, "{id} {}", test["comment"]);
            tried += 1;
        }
    }
    assert_eq!(tried, file["numberOfTests"].as_u64().unwrap());
}

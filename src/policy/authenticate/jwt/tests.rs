use super::verify::tests::{HS256, SECRET, sign};
use super::*;
use crate::policy::testing::exchange;

/// Far enough ahead for every run of these tests.
const CENTURIES_AHEAD: u64 = 32_503_680_000;

fn settings() -> Settings {
    Settings {
        secret: SECRET.to_vec(),
        identity: IdentityMap::new([("x-user-id".to_owned(), "sub".to_owned())]).unwrap(),
        ..Settings::default()
    }
}

fn jwt() -> Jwt {
    Jwt::new(settings()).unwrap()
}

fn token(sub: &str) -> String {
    sign(HS256, &format!(r#"{{"sub":"{sub}","exp":{CENTURIES_AHEAD}}}"#))
}

fn ask(jwt: &Jwt, lines: &[(&str, &str)]) -> Result<String, Error> {
    let mut exchange = exchange(lines);
    let outcome = match jwt.on_request(&mut exchange) {
        Step::Continue => Ok(()),
        Step::Fail(error) => Err(error),
        _ => panic!("it passes or fails"),
    };
    assert_eq!(outcome.is_ok(), exchange.identity.is_some());
    outcome.map(|()| exchange.identity.unwrap().id.clone())
}

fn refused(jwt: &Jwt, lines: &[(&str, &str)]) -> (ErrorKind, Option<String>) {
    let error = ask(jwt, lines).unwrap_err();
    (error.kind(), error.headers().first().map(|(name, value)| format!("{name}: {value}")))
}

fn missing() -> (ErrorKind, Option<String>) {
    (ErrorKind::MissingToken, Some("www-authenticate: Bearer".to_owned()))
}

fn invalid() -> (ErrorKind, Option<String>) {
    (ErrorKind::InvalidToken, Some("www-authenticate: Bearer error=\"invalid_token\"".to_owned()))
}

#[test]
fn a_good_token_tells_who_it_is() {
    let (jwt, token) = (jwt(), token("alice"));
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer   "] {
        assert_eq!(
            ask(&jwt, &[("authorization", &format!("{scheme}{token}"))]).unwrap(),
            "alice",
            "{scheme}"
        );
    }
}

#[test]
fn no_token_is_missing() {
    let jwt = jwt();
    assert_eq!(refused(&jwt, &[]), missing());
    assert_eq!(refused(&jwt, &[("cookie", &token("u"))]), missing());
    for line in ["", "Bearer", "Basic dXNlcjpwYXNz", "Bearer\tx", "BearerX y", &token("u"), "Bear", "Bearer="]
    {
        assert_eq!(refused(&jwt, &[("authorization", line)]), missing(), "{line}");
    }
}

#[test]
fn a_bad_token_is_invalid_and_only_the_log_learns_why() {
    let jwt = jwt();
    let expired = sign(HS256, r#"{"sub":"u","exp":1}"#);
    let endless = sign(HS256, r#"{"sub":"u"}"#);
    let nobody = sign(HS256, &format!(r#"{{"exp":{CENTURIES_AHEAD}}}"#));
    let good = token("u");
    for (token, why) in [
        ("bad", Fault::Parts),
        (expired.as_str(), Fault::Expired),
        (endless.as_str(), Fault::Required),
        (nobody.as_str(), Fault::Identity(crate::policy::authenticate::identity::Unfit::NoId)),
        (&format!("{good} x"), Fault::Encoding),
        (&format!("{good} "), Fault::Encoding),
        (&format!("{good},{good}"), Fault::Parts),
    ] {
        let line = format!("Bearer {token}");
        assert_eq!(refused(&jwt, &[("authorization", &line)]), invalid(), "{token}");
        let error = ask(&jwt, &[("authorization", &line)]).unwrap_err();
        assert_eq!(error.private_source(), Some(why.to_string().as_str()));
        assert_eq!(error.public_detail(), None);
        assert!(!format!("{error:?}").contains(token), "a token is in no log");
    }
}

#[test]
fn two_credentials_are_a_malformed_request() {
    let (jwt, alice, mallory) = (jwt(), token("alice"), token("mallory"));
    let (alice, mallory) = (format!("Bearer {alice}"), format!("Bearer {mallory}"));
    for other in [mallory.as_str(), alice.as_str(), "Basic x", ""] {
        let lines = [("authorization", alice.as_str()), ("Authorization", other)];
        assert_eq!(refused(&jwt, &lines), (ErrorKind::MalformedRequest, None));
    }
    let lines = [("authorization", alice.as_str()), ("cookie", mallory.as_str()), ("x-token", &mallory)];
    assert_eq!(ask(&jwt, &lines).unwrap(), "alice");
}

#[test]
fn a_cached_token_is_good_no_longer_than_a_fresh_one() {
    let jwt = Jwt::new(Settings { leeway: Duration::from_secs(5), ..settings() }).unwrap();
    let token = sign(HS256, r#"{"sub":"u","exp":2000,"nbf":1000}"#);
    let at = |seconds| jwt.authenticate(token.as_bytes(), Duration::from_secs(seconds));
    assert_eq!(at(994).unwrap_err(), Fault::NotYet);
    let first = at(995).unwrap();
    assert!(Arc::ptr_eq(&first, &at(2004).unwrap()), "the identity is shared");
    assert_eq!(at(2005).unwrap_err(), Fault::Expired);
    assert_eq!(at(994).unwrap_err(), Fault::NotYet);
    assert!(Arc::ptr_eq(&first, &at(2000).unwrap()));
}

#[test]
fn what_did_not_verify_is_never_remembered() {
    let jwt = jwt();
    let good = token("alice");
    let (message, tag) = good.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let forged = format!("{header}.{}.{tag}", verify::tests::encode(r#"{"sub":"root","exp":99999999999}"#));
    for _ in 0..2 {
        let now = Duration::from_secs(1000);
        assert_eq!(jwt.authenticate(forged.as_bytes(), now).unwrap_err(), Fault::Signature);
        assert_eq!(jwt.authenticate(good.as_bytes(), now).unwrap().id, "alice");
    }
}

#[test]
fn another_scheme_can_be_asked_for() {
    let jwt = Jwt::new(Settings { scheme: "Token".to_owned(), ..settings() }).unwrap();
    let token = token("u");
    assert_eq!(ask(&jwt, &[("authorization", &format!("token {token}"))]).unwrap(), "u");
    let (kind, header) = refused(&jwt, &[("authorization", &format!("Bearer {token}"))]);
    assert_eq!((kind, header.as_deref()), (ErrorKind::MissingToken, Some("www-authenticate: Token")));
}

#[test]
fn settings_nobody_should_trust_are_refused() {
    let unfit = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        Jwt::new(settings).err()
    };
    assert_eq!(unfit(&|_| {}), None);
    assert_eq!(unfit(&|s| s.secret.truncate(32)), None);
    assert_eq!(unfit(&|s| s.secret.truncate(31)), Some(UnfitSettings::ShortSecret(Algorithm::Hs256)));
    assert_eq!(unfit(&|s| s.secret.clear()), Some(UnfitSettings::ShortSecret(Algorithm::Hs256)));
    assert_eq!(
        unfit(&|s| {
            s.secret.truncate(63);
            s.algorithms = vec![Algorithm::Hs256, Algorithm::Hs512];
        }),
        Some(UnfitSettings::ShortSecret(Algorithm::Hs512))
    );
    assert_eq!(unfit(&|s| s.algorithms.clear()), Some(UnfitSettings::NoAlgorithm));
    assert_eq!(unfit(&|s| s.scheme = "Two Words".to_owned()), Some(UnfitSettings::Scheme));
    assert_eq!(unfit(&|s| s.scheme.clear()), Some(UnfitSettings::Scheme));
    assert_eq!(jwt().identity_header_names().collect::<Vec<_>>(), ["x-user-id"]);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_pass(token in "[A-Za-z0-9_.=-]{0,200}|.{0,80}") {
        let jwt = jwt();
        proptest::prop_assert!(jwt.authenticate(token.as_bytes(), Duration::ZERO).is_err());
    }
}

//! Who may pass, and what the services are told of them. Ids in comments are rows (A) and cases (s) of the catalogue
//! of behaviour.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::token::{self, SECRET, now, sign, sign_text};
use crate::support::{Answer, Client, Gateway, Origin, h2};

/// What most issuers write, what most gateways ask for.
const STRICT: &str = "
    admin: { listen: '127.0.0.1:0' }
    auth:
      user:
        jwt: { secret: '${SECRET}', algorithms: [HS256], issuer: 'https://idp.test', audience: portcullis }
        identity: { x-user-id: sub, x-roles: roles }
    routes:
      /api/*: { upstream: ORIGIN1, policies: { auth: user } }
      /public/*: { upstream: ORIGIN1 }
    ";

fn gateway(origin: &Origin, config: &str) -> Gateway {
    Gateway::prepare(&[origin]).env("SECRET", SECRET).start(config)
}

/// Good claims for alice, changed by `change`; null takes a claim out.
fn claims(change: Value) -> Value {
    let mut claims = json!({
        "sub": "alice", "aud": "portcullis", "iss": "https://idp.test", "iat": now(), "exp": now() + 300,
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn without(claim: &str) -> Value {
    let mut all = claims(json!({}));
    all.as_object_mut().unwrap().remove(claim);
    all
}

fn good() -> String {
    token::with_claims(&claims(json!({})))
}

fn asked(client: &mut Client, token: &str) -> Answer {
    client.request("GET", "/api/x", &[("Authorization", &format!("Bearer {token}"))], b"")
}

/// Asserts that each of these tokens is refused as invalid, and that nothing of it reaches the service.
#[track_caller]
fn refused(tokens: &[(&str, String)]) {
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let mut client = gateway.client();
    for (what, token) in tokens {
        let answer = asked(&mut client, token);
        assert_eq!(answer.status, 401, "{what}");
        assert_eq!(answer.problem(401), "invalid token", "{what}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""), "{what}");
    }
    assert_eq!(origin.count(), 0);
    assert_eq!(asked(&mut client, &good()).status, 200, "a good one afterwards");
}

#[test]
fn no_token_is_401_and_says_what_is_wanted() {
    // A01, A04, A05, D12, s-052
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let mut client = gateway.client();
    let good = good();
    let cases: [(&str, &[(&str, &str)]); 7] = [
        ("/api/x", &[]),
        ("/api/x", &[("Authorization", "Basic YWxpY2U6cHc=")]),
        // A good token is none under another name of the same length.
        ("/api/x", &[("Authorization", &format!("Digest {good}"))]),
        ("/api/x", &[("Authorization", "Bearer")]),
        ("/api/x", &[("Authorization", "Bearer ")]),
        (&format!("/api/x?access_token={good}"), &[]),
        ("/api/x", &[("Cookie", &format!("token={good}; access_token={good}"))]),
    ];
    for (target, headers) in cases {
        let answer = client.request("GET", target, headers, b"");
        assert_eq!(answer.problem(401), "missing token", "{target} {headers:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_good_token_passes_with_its_identity() {
    // A02, A03, A23, A29, s-051
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let mut client = gateway.client();
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer   "] {
        let credentials = format!("{scheme}{}", good());
        let answer = client.request("GET", "/api/x", &[("authorization", &credentials)], b"");
        assert_eq!(answer.status, 200, "{scheme:?}");
        let seen = origin.last();
        assert_eq!(seen.header("x-user-id"), Some("alice"), "{scheme:?}");
        assert_eq!(seen.header("authorization"), Some(credentials.as_str()), "the service may verify it too");
        assert!(!seen.has("x-roles"), "a claim that is absent sends no header");
    }
}

#[test]
fn the_identity_header_is_the_gates_own_in_every_spelling() {
    // A23, A25, A26, s-034, s-037
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let spellings: [&str; 7] = [
        "X-User-Id: admin\r\n",
        "X-USER-ID: admin\r\nx-user-id: root\r\nX-User-Id: \r\n",
        "x_user_id: admin\r\n",
        "X-User_Id: admin\r\nX_User_Id: admin\r\nx_user-id: admin\r\n",
        "X-Roles: admin\r\nX_ROLES: admin\r\n",
        "Connection: x-user-id\r\n",
        "Connection: close, X-User-Id, x-roles\r\nX-User-Id: admin\r\n",
    ];
    for extra in spellings {
        let head = format!(
            "GET /api/x HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {}\r\n{extra}\r\n",
            good()
        );
        assert_eq!(gateway.raw(head).status, 200, "{extra:?}");
        let seen = origin.last();
        let lines: Vec<&(String, String)> =
            seen.headers.0.iter().filter(|(name, _)| folded(name) == "x-user-id").collect();
        assert_eq!(lines, [&("x-user-id".to_owned(), "alice".to_owned())], "{extra:?}");
        assert!(seen.headers.0.iter().all(|(name, _)| folded(name) != "x-roles"), "{extra:?}: {seen:#?}");
        let connection = seen.header("connection").unwrap_or_default();
        assert!(!connection.to_lowercase().contains("x-"), "{connection}");
    }
    for word in ["admin", "root"] {
        assert!(!origin.raw_all().contains(word), "{word} reached the service");
    }
}

fn folded(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

#[test]
fn a_route_without_auth_takes_no_identity_either() {
    // A24, s-035
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let mut client = gateway.client();
    let spoofed =
        [("X-User-Id", "admin"), ("x_user_id", "root"), ("X-ROLES", "admin"), ("Connection", "x-user-id")];
    assert_eq!(client.request("GET", "/public/x", &spoofed, b"").status, 200);
    let credentials = format!("Bearer {}", good());
    let with_token = [("X-User-Id", "admin"), ("Authorization", credentials.as_str())];
    assert_eq!(client.request("GET", "/public/x", &with_token, b"").status, 200);
    for seen in origin.requests() {
        assert!(seen.headers.0.iter().all(|(name, _)| !["x-user-id", "x-roles"].contains(&&*folded(name))));
    }
    // A body's trailer fields are header fields to some services.
    let trailers = "POST /public/x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\nTrailer: x-user-id\r\n\r\n\
                    1\r\na\r\n0\r\nX-User-Id: admin\r\nx_user_id: root\r\n\r\n";
    gateway.raw(trailers);
    for word in ["admin", "root"] {
        assert!(!origin.raw_all().contains(word), "{word} reached the service");
    }
}

#[test]
fn http2_is_guarded_the_same() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let credentials = format!("Bearer {}", good());
    h2::block_on(async {
        let session = h2::Session::connect(gateway.address()).await;
        let spoofed = [("x-user-id", "admin"), ("x_user_id", "root"), ("x-roles", "admin")];
        let ask = async |target: &str, headers: &[(&str, &str)]| {
            let stream = session.open(h2::request("GET", target, headers), true).await.unwrap();
            stream.whole().await.unwrap()
        };
        let missing = ask("/api/x", &spoofed).await;
        assert_eq!((missing.status, missing.headers["www-authenticate"].as_bytes()), (401, &b"Bearer"[..]));
        let two = [("authorization", credentials.as_str()), ("authorization", "Bearer x")];
        assert_eq!(ask("/api/x", &two).await.status, 400);
        assert_eq!(origin.count(), 0);
        let mut with_token = spoofed.to_vec();
        with_token.push(("authorization", &credentials));
        assert_eq!(ask("/api/x", &with_token).await.status, 200);
        assert_eq!(ask("/public/x", &spoofed).await.status, 200);
    });
    let seen = origin.requests();
    assert_eq!((seen[0].header("x-user-id"), seen[1].header("x-user-id")), (Some("alice"), None));
    for word in ["admin", "root"] {
        assert!(!origin.raw_all().contains(word), "{word} reached the service");
    }
}

#[test]
fn two_credentials_are_ambiguous() {
    // A06, s-138
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let mut client = gateway.client();
    let alice = format!("Bearer {}", good());
    let mallory = token::with_claims(&claims(json!({ "sub": "mallory" })));
    let answer = client.request(
        "GET",
        &format!("/api/x?access_token={mallory}"),
        &[("Authorization", &alice), ("Cookie", &format!("token={mallory}"))],
        b"",
    );
    assert_eq!(answer.status, 200);
    assert_eq!(origin.only().header("x-user-id"), Some("alice"));
    for second in [format!("Bearer {mallory}"), "Bearer x".to_owned(), alice.clone(), "Basic eDp5".to_owned()]
    {
        let answer =
            gateway.request("GET", "/api/x", &[("Authorization", &alice), ("Authorization", &second)], b"");
        assert_eq!(answer.problem(400), "malformed request");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_is_no_token_is_refused() {
    // A07
    let good = good();
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, signature] = parts.as_slice() else { panic!("three parts") };
    refused(&[
        ("a word", "bad".to_owned()),
        ("two parts", format!("{head}.{body}")),
        ("four parts", format!("{good}.x")),
        ("empty parts", "..".to_owned()),
        ("padding", format!("{good}=")),
        ("padding in a part", format!("{head}==.{body}.{signature}")),
        ("a blank within", format!("{head}. {body}.{signature}")),
        ("two tokens", format!("{good} {good}")),
        ("a comma", format!("{good}, {good}")),
        ("quotes", format!("\"{good}\"")),
        ("base64 that is not for URLs", format!("{head}.{body}.+/+/")),
        ("a changed payload", format!("{head}.{}x.{signature}", &body[..body.len() - 1])),
        ("no JSON", sign_text(SECRET, r#"{"alg":"HS256"}"#, "sub=alice")),
        ("no JSON head", sign_text(SECRET, "alg=HS256", &claims(json!({})).to_string())),
        (
            "more after the JSON",
            sign_text(SECRET, r#"{"alg":"HS256"}"#, &format!("{} {{}}", claims(json!({})))),
        ),
    ]);
}

#[test]
fn only_the_configured_algorithm_and_secret_count() {
    // A10, A11, A12, s-038, s-039
    let body = claims(json!({}));
    let unsigned = |alg: Value| {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", text(&json!({ "alg": alg, "typ": "JWT" })), text(&body))
    };
    let signature = good().rsplit('.').next().unwrap().to_owned();
    refused(&[
        ("none", unsigned(json!("none"))),
        ("None", unsigned(json!("None"))),
        ("nOnE", unsigned(json!("nOnE"))),
        ("empty alg", unsigned(json!(""))),
        ("alg null", unsigned(json!(null))),
        ("none with a borrowed signature", unsigned(json!("none")) + &signature),
        ("no alg", sign(SECRET, &json!({ "typ": "JWT" }), &body)),
        ("alg null, signed", sign(SECRET, &json!({ "alg": null }), &body)),
        ("alg in a list", sign(SECRET, &json!({ "alg": ["HS256"] }), &body)),
        ("alg in lower case", sign(SECRET, &json!({ "alg": "hs256" }), &body)),
        ("none, signed", sign(SECRET, &json!({ "alg": "none" }), &body)),
        ("HS384 by its name", sign(SECRET, &json!({ "alg": "HS384" }), &body)),
        ("HS512 by its name", sign(SECRET, &json!({ "alg": "HS512" }), &body)),
        ("RS256", sign(SECRET, &json!({ "alg": "RS256" }), &body)),
        (
            "another secret",
            sign("another secret, also of 32 bytes or more", &json!({ "alg": "HS256" }), &body),
        ),
        ("an empty secret", sign("", &json!({ "alg": "HS256" }), &body)),
        ("no signature", unsigned(json!("HS256"))),
        ("critical extensions", sign(SECRET, &json!({ "alg": "HS256", "crit": ["x"], "x": 1 }), &body)),
        ("alg twice", sign_text(SECRET, r#"{"alg":"HS256","alg":"HS256"}"#, &body.to_string())),
    ]);
}

#[test]
fn the_times_of_a_token_are_numbers_and_hold() {
    // A08, A09, A13, A14, s-041, s-042
    let with = |change: Value| token::with_claims(&claims(change));
    let far = now() + 300;
    refused(&[
        ("no exp", token::with_claims(&without("exp"))),
        ("exp null", with(json!({ "exp": null }))),
        ("exp in the past", with(json!({ "exp": now() - 1 }))),
        ("exp now", with(json!({ "exp": now() }))),
        ("exp negative", with(json!({ "exp": -1 }))),
        ("exp as a text", with(json!({ "exp": far.to_string() }))),
        ("exp true", with(json!({ "exp": true }))),
        ("exp an object", with(json!({ "exp": {} }))),
        ("exp a list", with(json!({ "exp": [far] }))),
        ("nbf to come", with(json!({ "nbf": far }))),
        ("nbf as a text", with(json!({ "nbf": (now() - 5).to_string() }))),
        ("nbf true", with(json!({ "nbf": true }))),
        ("iat as a text", with(json!({ "iat": now().to_string() }))),
        (
            "exp beyond any number",
            sign_text(
                SECRET,
                r#"{"alg":"HS256"}"#,
                r#"{"sub":"alice","aud":"portcullis","iss":"https://idp.test","exp":1e999}"#,
            ),
        ),
    ]);
}

#[test]
fn times_may_have_fractions_and_be_now() {
    // A09, s-044
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let mut client = gateway.client();
    let now = now() as f64;
    for change in [
        json!({ "iat": now - 0.25, "exp": now + 60.529, "nbf": now - 0.001 }),
        json!({ "nbf": now }),
        json!({ "exp": 4e9 }),
    ] {
        assert_eq!(asked(&mut client, &token::with_claims(&claims(change.clone()))).status, 200, "{change}");
    }
}

#[test]
fn leeway_forgives_small_differences() {
    // s-043; farther apart than the machine is slow
    let origin = Origin::echo();
    let gateway = gateway(
        &origin,
        "
        auth: { user: { jwt: { secret: '${SECRET}', leeway: 100s }, identity: { x-user-id: sub } } }
        policies: { auth: user }
        routes: { /api/*: { upstream: ORIGIN1 } }
        ",
    );
    let mut client = gateway.client();
    for (change, status) in [
        (json!({ "exp": now() - 5 }), 200),
        (json!({ "exp": now() - 150 }), 401),
        (json!({ "nbf": now() + 5 }), 200),
        (json!({ "nbf": now() + 250 }), 401),
    ] {
        assert_eq!(
            asked(&mut client, &token::with_claims(&claims(change.clone()))).status,
            status,
            "{change}"
        );
    }
}

#[test]
fn exp_may_be_made_optional_and_other_claims_required() {
    // A13, s-041
    let origin = Origin::echo();
    let config = |require: &str| {
        format!(
            "
            auth: {{ user: {{ jwt: {{ secret: '${{SECRET}}', require: {require} }} }} }}
            routes: {{ /api/*: {{ upstream: ORIGIN1, policies: {{ auth: user }} }} }}
            "
        )
    };
    let gateway_ = gateway(&origin, &config("[]"));
    let mut client = gateway_.client();
    assert_eq!(asked(&mut client, &token::with_claims(&without("exp"))).status, 200);
    let expired = token::with_claims(&claims(json!({ "exp": now() - 1 })));
    assert_eq!(asked(&mut client, &expired).problem(401), "invalid token");
    let gateway_ = gateway(&origin, &config("[exp, tenant]"));
    let mut client = gateway_.client();
    assert_eq!(asked(&mut client, &good()).problem(401), "invalid token");
    let tenant = token::with_claims(&claims(json!({ "tenant": "t" })));
    assert_eq!(asked(&mut client, &tenant).status, 200);
}

#[test]
fn issuer_and_audience_are_checked_where_configured() {
    // A28, s-045, s-046, s-047
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let mut client = gateway.client();
    for aud in [json!("portcullis"), json!(["portcullis"]), json!(["other", "portcullis", "x"])] {
        let token = token::with_claims(&claims(json!({ "aud": aud })));
        assert_eq!(asked(&mut client, &token).status, 200, "{aud}");
    }
    let with = |change: Value| token::with_claims(&claims(change));
    refused(&[
        ("another case", with(json!({ "aud": "Portcullis" }))),
        ("others", with(json!({ "aud": ["other", "x"] }))),
        ("none in the list", with(json!({ "aud": [] }))),
        ("no aud", token::with_claims(&without("aud"))),
        ("aud null", with(json!({ "aud": null }))),
        ("numbers", with(json!({ "aud": [1, 2] }))),
        ("an object", with(json!({ "aud": { "portcullis": true } }))),
        ("an empty text", with(json!({ "aud": "" }))),
        ("a part of it", with(json!({ "aud": "portcullis,other" }))),
        ("another issuer", with(json!({ "iss": "https://idp.test/" }))),
        ("no issuer", token::with_claims(&without("iss"))),
        ("issuers in a list", with(json!({ "iss": ["https://idp.test"] }))),
    ]);
}

#[test]
fn a_subject_that_no_header_can_hold_is_refused() {
    // A15, A17, A18, A19, A20, A21
    let with = |change: Value| token::with_claims(&claims(change));
    let plain = |payload: &str| sign_text(SECRET, r#"{"alg":"HS256","typ":"JWT"}"#, payload);
    let rest = format!(r#""aud":"portcullis","iss":"https://idp.test","exp":{}"#, now() + 300);
    refused(&[
        ("no sub", token::with_claims(&without("sub"))),
        ("sub null", with(json!({ "sub": null }))),
        ("sub empty", with(json!({ "sub": "" }))),
        ("sub an object", with(json!({ "sub": { "id": 1 } }))),
        ("sub a list", with(json!({ "sub": ["a", "b"] }))),
        ("sub true", with(json!({ "sub": true }))),
        ("sub with CR LF", with(json!({ "sub": "alice\r\nx-admin: 1" }))),
        ("sub with a zero", with(json!({ "sub": "alice\u{0}" }))),
        ("sub with a C1 control", with(json!({ "sub": "alice\u{85}" }))),
        ("a role with LF", with(json!({ "roles": ["a\nb"] }))),
        ("a text as payload", plain("\"alice\"")),
        ("null as payload", plain("null")),
        ("a list as payload", plain("[]")),
        ("sub twice", plain(&format!(r#"{{"sub":"alice","sub":"admin",{rest}}}"#))),
        ("sub twice, once escaped", plain(&format!(r#"{{"sub":"alice","\u0073ub":"admin",{rest}}}"#))),
    ]);
}

#[test]
fn subjects_arrive_as_they_are_written() {
    // A16, A18, s-036
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let mut client = gateway.client();
    let rest = format!(r#""aud":"portcullis","iss":"https://idp.test","exp":{}"#, now() + 300);
    for (sub, header) in [
        ("42", "42"),
        ("9007199254740993", "9007199254740993"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        (r#""a b""#, "a b"),
        (r#""Zo\u00eb""#, "Zo%C3%AB"),
        (r#""50%""#, "50%25"),
        (r#""a,b;c=\"d\"""#, r#"a,b;c="d""#),
    ] {
        let token =
            sign_text(SECRET, r#"{"alg":"HS256","typ":"JWT"}"#, &format!(r#"{{"sub":{sub},{rest}}}"#));
        assert_eq!(asked(&mut client, &token).status, 200, "{sub}");
        assert_eq!(origin.last().header("x-user-id"), Some(header), "{sub}");
    }
    let roles = token::with_claims(&claims(json!({ "roles": ["admin", "ops"] })));
    assert_eq!(asked(&mut client, &roles).status, 200);
    assert_eq!(origin.last().header("x-roles"), Some("admin,ops"));
}

#[test]
fn another_claim_may_tell_the_identity() {
    // s-036
    let origin = Origin::echo();
    let gateway = gateway(
        &origin,
        "
        auth: { user: { jwt: { secret: '${SECRET}' }, identity: { x-user-id: user_id } } }
        routes: { /api/*: { upstream: ORIGIN1, policies: { auth: user } } }
        ",
    );
    let mut claims = without("sub");
    claims["user_id"] = json!(4711);
    assert_eq!(asked(&mut gateway.client(), &token::with_claims(&claims)).status, 200);
    assert_eq!(origin.only().header("x-user-id"), Some("4711"));
}

#[test]
fn a_token_larger_than_a_head_is_431() {
    // s-053
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let token = format!("{}.{}.{}", "A".repeat(30_000), "A".repeat(30_000), "A".repeat(10_000));
    assert_eq!(asked(&mut gateway.client(), &token).problem(431), "headers too large");
    assert_eq!(asked(&mut gateway.client(), &good()).status, 200);
    assert_eq!(origin.count(), 1);
}

#[test]
fn no_body_is_asked_for_where_the_answer_is_known() {
    // H20, s-088
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let answer = gateway.raw(
        "POST /api/up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(answer.problem(401), "missing token");
    assert!(answer.interim.is_empty(), "no 100");
    let answer = gateway.raw("POST /api/up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1000000\r\n\r\n");
    assert_eq!(answer.problem(401), "missing token");
    let asking = format!(
        "POST /api/up HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\n\
         Expect: 100-continue\r\n\r\n",
        good()
    );
    assert_eq!(origin.count(), 0);
    let mut client = gateway.client();
    client.send(asking);
    assert_eq!(client.read_head().0, 100);
    assert_eq!(client.send("ok").read().status, 200);
    assert_eq!(origin.only().text(), "ok");
}

#[test]
fn policies_of_the_file_guard_what_no_route_matches() {
    let origin = Origin::echo();
    let gateway = gateway(
        &origin,
        "
        auth: { user: { jwt: { secret: '${SECRET}' } } }
        policies: { auth: user }
        routes: { GET /api/*: { upstream: ORIGIN1 }, /open/*: { upstream: ORIGIN1, policies: { auth: none } } }
        ",
    );
    let mut client = gateway.client();
    assert_eq!(client.get("/nothing").problem(401), "missing token");
    assert_eq!(client.request("POST", "/api/x", &[], b"").problem(401), "missing token");
    assert_eq!(client.request("OPTIONS", "/api/x", &[], b"").problem(401), "missing token");
    assert_eq!(client.get("/open/x").status, 200);
    let credentials = format!("Bearer {}", good());
    let headers = [("Authorization", credentials.as_str())];
    assert_eq!(client.request("GET", "/nothing", &headers, b"").problem(404), "no route");
    let answer = client.request("POST", "/api/x", &headers, b"");
    assert_eq!(answer.problem(405), "method not allowed");
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
}

#[test]
fn a_weak_secret_does_not_start() {
    // A27
    let config = "
        auth: { user: { jwt: { secret: '${SECRET}' } } }
        routes: { /api/*: { respond: { status: 204 }, policies: { auth: user } } }
        ";
    let out = Gateway::prepare(&[]).env("SECRET", "short").run(&["check", "-c", "CONFIG"], config);
    let told = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1), "{told}");
    assert!(told.contains("at least 32 bytes"), "{told}");
    assert!(!told.contains("short\n") && !told.contains("`short`"), "a secret is never shown: {told}");
}

#[test]
fn the_log_tells_why_and_never_the_token() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, STRICT);
    let mut client = gateway.client();
    let expired = token::with_claims(&claims(json!({ "exp": now() - 10 })));
    let forged =
        sign("another secret, also of 32 bytes or more", &json!({ "alg": "HS256" }), &claims(json!({})));
    let good = good();
    let mut told = String::new();
    for token in [&expired, &forged, &good, &"not-a-token-but-secret".to_owned()] {
        let answer = asked(&mut client, token);
        told += &format!("{:?}{}", answer.headers, answer.text().replace(&answer.text(), ""));
        if answer.status != 200 {
            told += &answer.text();
        }
    }
    told += &format!("{:?}", client.get(&format!("/api/x?access_token={good}")));
    let log = gateway.log(5);
    let line =
        |index: usize| (&log[index]["error"], log[index]["source"].as_str().unwrap_or_default().to_owned());
    assert_eq!(line(0), (&json!("invalid token"), "the token has expired".to_owned()));
    assert_eq!(line(1), (&json!("invalid token"), "the token's signature does not verify".to_owned()));
    assert_eq!(log[2]["identity"], "alice");
    assert!(log[2].get("error").is_none() && log[0].get("identity").is_none(), "{log:#?}");
    assert_eq!(line(3).0, "invalid token");
    assert_eq!(line(4).0, "missing token");
    told += &gateway.log_lines().join("\n");
    told += &gateway.stderr();
    let mut admin = Client::connect(gateway.admin());
    for target in ["/metrics", "/routes", "/status"] {
        told += &admin.request("GET", target, &[("Host", "localhost")], b"").text();
    }
    for token in [&expired, &forged, &good] {
        for part in token.split('.') {
            assert!(!told.contains(part), "a part of a token was told");
        }
    }
    for secret in [SECRET, "not-a-token-but-secret"] {
        assert!(!told.contains(secret), "{secret} was told: {told}");
    }
}

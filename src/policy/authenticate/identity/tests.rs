use super::*;

fn map(headers: &[(&str, &str)]) -> IdentityMap {
    IdentityMap::new(headers.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned()))).unwrap()
}

fn identity(headers: &[(&str, &str)], claims: &str) -> Result<Identity, Unfit> {
    map(headers).identity(Value::parse(claims).unwrap(), "jwt")
}

/// The value of the one header that `path` is mapped to, of a token with this claim.
fn value(path: &str, claims: &str) -> Result<Option<String>, Unfit> {
    let claims = format!("{{\"sub\":\"u\",{claims}}}");
    let identity = identity(&[("x-h", path)], &claims)?;
    Ok(identity.headers.first().map(|(_, value)| String::from_utf8(value.clone()).unwrap()))
}

fn some(text: &str) -> Result<Option<String>, Unfit> {
    Ok(Some(text.to_owned()))
}

#[test]
fn the_id_is_sub() {
    let id = |claims: &str| identity(&[], claims).map(|identity| identity.id);
    assert_eq!(id(r#"{"sub":"auth0|7"}"#).as_deref(), Ok("auth0|7"));
    assert_eq!(id(r#"{"sub":42}"#).as_deref(), Ok("42"));
    assert_eq!(id(r#"{"sub":-42}"#).as_deref(), Ok("-42"));
    assert_eq!(id(r#"{"sub":18446744073709551616123}"#).as_deref(), Ok("18446744073709551616123"));
    assert_eq!(id(r#"{"sub":"Jürgen"}"#).as_deref(), Ok("Jürgen"));
    for bad in ["\"\"", "true", "{}", "[]", "[\"a\"]", "{\"a\":1}", "1.5", "1e3", "1.0"] {
        assert_eq!(id(&format!("{{\"sub\":{bad}}}")), Err(Unfit::BadId), "{bad}");
    }
    for bad in ["a\\r\\nb", "\\u0000", "a\\tb", "\\u007f", "\\u0085"] {
        assert_eq!(id(&format!("{{\"sub\":\"{bad}\"}}")), Err(Unfit::Control), "{bad}");
    }
    assert_eq!(id("{}"), Err(Unfit::NoId));
    assert_eq!(id(r#"{"sub":null}"#), Err(Unfit::NoId));
}

#[test]
fn without_sub_the_first_header_s_claim_stands_in() {
    let headers = [("x-user-id", "user_id"), ("x-other", "other")];
    let made = identity(&headers, r#"{"user_id":4711}"#).unwrap();
    assert_eq!(made.id, "4711");
    assert_eq!(made.headers, [("x-user-id".to_owned(), b"4711".to_vec())]);
    assert_eq!(identity(&headers, r#"{"sub":null,"user_id":"a"}"#).unwrap().id, "a");
    assert_eq!(identity(&headers, r#"{"sub":"s","user_id":"a"}"#).unwrap().id, "s");
    assert_eq!(identity(&headers, r#"{"other":"o"}"#).unwrap_err(), Unfit::NoId);
    assert_eq!(identity(&headers, r#"{"user_id":[1]}"#).unwrap_err(), Unfit::BadId);
    assert_eq!(
        identity(&headers, r#"{"sub":"","user_id":"a"}"#).unwrap_err(),
        Unfit::BadId,
        "empty is there"
    );
}

#[test]
fn claims_become_header_values() {
    assert_eq!(value("c", r#""c":"plain text""#), some("plain text"));
    assert_eq!(value("c", r#""c":"""#), some(""));
    assert_eq!(value("c", r#""c":true"#), some("true"));
    assert_eq!(value("c", r#""c":false"#), some("false"));
    for number in ["4711", "-0", "1.50", "1e3", "9007199254740993", "123456789012345678901234567890"] {
        assert_eq!(value("c", &format!("\"c\": {number} ")), some(number));
    }
    assert_eq!(value("c", r#""c":["admin","staff"]"#), some("admin,staff"));
    assert_eq!(
        value("c", r#""c":["a", 1.50, true, 12345678901234567890123]"#),
        some("a,1.50,true,12345678901234567890123")
    );
    assert_eq!(value("c", r#""c":[]"#), some(""));
    assert_eq!(value("c", r#""c":null"#), Ok(None));
    assert_eq!(value("c", r#""d":1"#), Ok(None));
    for bad in ["{}", "{\"a\":1}", "[[1]]", "[{}]", "[null]"] {
        assert_eq!(value("c", &format!("\"c\":{bad}")), Err(Unfit::Shape), "{bad}");
    }
    for bad in ["\"a\\r\\nx-admin: 1\"", "[\"a\\u0000\"]", "\"\\t\"", "\"\\u0080\""] {
        assert_eq!(value("c", &format!("\"c\":{bad}")), Err(Unfit::Control), "{bad}");
    }
}

#[test]
fn no_two_claims_become_one_value() {
    assert_eq!(value("c", r#""c":"Zoë""#), some("Zo%C3%AB"));
    assert_eq!(value("c", r#""c":"Zo%C3%AB""#), some("Zo%25C3%25AB"));
    assert_eq!(value("c", r#""c":" admin ""#), some("%20admin%20"));
    assert_eq!(value("c", r#""c":"a, b""#), some("a, b"));
    assert_eq!(value("c", r#""c":["a,b","c"]"#), some("a%2Cb,c"));
    assert_eq!(value("c", r#""c":"日本""#), some("%E6%97%A5%E6%9C%AC"));
}

#[test]
fn paths_walk_members_and_a_whole_name_wins() {
    assert_eq!(value("a.b.c", r#""a":{"b":{"c":"deep"}}"#), some("deep"));
    assert_eq!(value("a.b.c", r#""a":{"b":{"c":1.0}}"#), some("1.0"));
    assert_eq!(value("a.b", r#""a":{"b":null}"#), Ok(None));
    assert_eq!(value("a.b", r#""a":"text""#), Ok(None));
    assert_eq!(value("a.b", r#""a":["b"]"#), Ok(None));
    let dotted = r#""https://idp.test/roles":["r"]"#;
    assert_eq!(value("https://idp.test/roles", dotted), some("r"));
    assert_eq!(value("a.b", r#""a.b":"whole","a":{"b":"steps"}"#), some("whole"));
    assert_eq!(value("a.b.c", r#""a":{"b.c":"rest"}"#), some("rest"));
    assert_eq!(value("a\"b", r#""a\u0022b":1"#), some("1"), "names are compared unescaped");
}

#[test]
fn scopes_are_read_in_every_usual_form() {
    let scopes = |claims| identity(&[], claims).unwrap().scopes;
    assert_eq!(scopes(r#"{"sub":"u","scope":"read  write"}"#), ["read", "write"]);
    assert_eq!(scopes(r#"{"sub":"u","scp":["a b","c"]}"#), ["a b", "c"]);
    assert_eq!(scopes(r#"{"sub":"u","scp":"a b"}"#), ["a", "b"]);
    assert_eq!(scopes(r#"{"sub":"u","scope":"a","scp":["b"]}"#), ["a"]);
    assert!(scopes(r#"{"sub":"u","scope":7}"#).is_empty());
}

#[test]
fn header_names_are_judged_at_load() {
    let unfit = |headers: &[&str]| {
        IdentityMap::new(headers.iter().map(|name| ((*name).to_owned(), "sub".to_owned()))).err()
    };
    assert_eq!(unfit(&["X-User-Id", "x-role"]), None);
    for bad in ["", "x y", "x:y", "Host", "content-length", "X_Forwarded_For", "connection", "x-request-id"] {
        assert_eq!(unfit(&[bad]), Some(UnfitHeader(bad.to_owned())), "{bad}");
    }
    assert_eq!(unfit(&["x-a", "X-A"]), Some(UnfitHeader("X-A".to_owned())));
    assert_eq!(unfit(&["x-a-b", "x_a-b"]), Some(UnfitHeader("x_a-b".to_owned())));
    let map = map(&[("X-User-Id", "sub"), ("X-Role", "role")]);
    assert_eq!(map.header_names().collect::<Vec<_>>(), ["x-user-id", "x-role"]);
}

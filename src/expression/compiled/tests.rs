mod agreement;
mod bounds;
mod differential;
mod numbers;
mod page;

use serde_json::json;

use super::*;
use crate::exchange::Exchange;
use crate::exchange::testing::Builder;
use crate::expression::environment::environment;

fn scope() -> Scope {
    Scope {
        identity: true,
        params: vec!["userId".into(), "in".into()],
        rest: true,
        sources: vec!["user".into()],
        item: false,
        response: false,
    }
}

fn compile(text: &str) -> Expression {
    Expression::compile(text, &scope()).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

/// The first error's text, the part of the expression it points at, and its help.
fn error(text: &str) -> (String, String, Option<String>) {
    let errors = Expression::compile(text, &scope()).expect_err(text);
    let first = &errors[0];
    (first.what.clone(), text[first.offset..first.offset + first.len].to_owned(), first.mend.clone())
}

fn alice() -> Exchange {
    Builder::get("/api/users/a%20b/x%2Fy?q=a+b&q=second&%C3%A9=%zz&flag&bad=%FF")
        .header("host", "API.Example.com:8443")
        .header("x-a", "1")
        .header("X-A", "2")
        .header("x-latin", b"\xe9")
        .header("cookie", "sid=abc; sid=late")
        .header("cookie", "theme=d%20k")
        .param("userId", 2)
        .param("in", 3)
        .rest(10)
        .identity(
            "alice",
            json!({"sub": "alice", "roles": ["admin", "dev"], "n": 3, "big": u64::MAX, "half": 0.5, "nil": null,
                "huge": 1e300, "neg": i64::MIN, "org": {"name": "acme", "tags": [1, 2.0, "x"]}, "ok": true}),
            &["read", "write"],
        )
        .build()
}

fn nobody() -> Exchange {
    Builder::get("/api/users/a%20b").param("userId", 2).build()
}

#[test]
fn members_read_what_they_say() {
    let exchange = alice();
    for (text, value) in [
        ("request.method", "GET"),
        ("request.scheme", "https"),
        ("request.path", "/api/users/a%20b/x%2Fy"),
        ("request.host", "api.example.com"),
        ("request.headers['x-a']", "1, 2"),
        ("request.headers.cookie", "sid=abc; sid=late; theme=d%20k"),
        ("request.query.q", "a b"),
        ("request.query['é']", "%zz"),
        ("request.query.flag", ""),
        ("request.cookies.sid", "abc"),
        ("request.cookies.theme", "d%20k"),
        ("client.ip", "192.0.2.1"),
        ("identity.id", "alice"),
        ("identity.method", "jwt"),
        ("identity.scopes[1]", "write"),
        ("identity.claims.org.name", "acme"),
        ("identity.claims.roles[0]", "admin"),
        ("identity.claims.n", "3"),
        ("identity.claims.big", "18446744073709551615"),
        ("identity.claims.neg", "-9223372036854775808"),
        ("identity.claims.half", "0.5"),
        ("identity.claims.ok", "true"),
        ("params.userId", "a b"),
        ("params['in']", "x/y"),
        ("rest", "/a%20b/x%2Fy"),
        ("listener", "edge"),
        ("route", "/test"),
        ("'lit'", "lit"),
    ] {
        let expression = compile(text);
        assert!(expression.is_native(), "{text}");
        assert_eq!(expression.text(&exchange).as_deref(), Ok(value), "{text}");
    }
}

#[test]
fn a_mapped_address_is_the_address_it_maps() {
    for (ip, text) in [("::ffff:192.0.2.7", "192.0.2.7"), ("2001:DB8::1", "2001:db8::1")] {
        let exchange = Builder::get("/").method(http::Method::POST).client(ip.parse().unwrap()).build();
        assert_eq!(compile("client.ip").text(&exchange).as_deref(), Ok(text));
        assert_eq!(compile("request.method == 'POST'").bool(&exchange), Ok(true));
    }
    let exchange = Builder::get("/").header("host", "[2001:DB8::1]:443").build();
    assert_eq!(compile("request.host").text(&exchange).as_deref(), Ok("[2001:db8::1]"));
}

#[test]
fn what_is_absent_is_an_error_that_names_it_and_shows_no_value() {
    let exchange = alice();
    for text in [
        "request.headers['x-none']",
        "request.query.none",
        "request.cookies.none",
        "identity.claims.none",
        "identity.claims.org.none",
        "identity.claims.roles[7]",
        "identity.claims.nil",
        "identity.claims.none + 'x'",
    ] {
        let error = compile(text).text(&exchange).expect_err(text);
        assert!(
            error.is_absent() && error.to_string().contains(text.split(" +").next().unwrap()),
            "{text}: {error}"
        );
    }
    for text in [
        "request.headers['x-latin']",
        "request.query.bad",
        "identity.claims.roles",
        "identity.claims.sub.x",
        "identity.claims.roles.x",
        "identity.id + 1",
        "int(identity.id)",
        "request.headers.exists(k, k == 'q')",
        "identity.claims.n / 0",
        "identity.claims[request.query.q]",
        "identity.claims.neg - 1",
        "identity.claims.big + 1u",
    ] {
        let error = compile(text).text(&exchange).expect_err(text).to_string();
        for secret in ["alice", "admin", "a b", "acme", "18446744073709551615"] {
            assert!(!error.contains(secret), "{text}: {error}");
        }
    }
    assert!(compile("identity.id").text(&nobody()).is_err_and(|error| error.is_absent()));
    assert!(compile("client.ip").bool(&exchange).is_err_and(|error| !error.is_absent()));
}

#[test]
fn conditions_hold_as_cel_says() {
    let exchange = alice();
    for (text, holds, native) in [
        ("identity.claims.sub == params.userId || identity.id == 'alice'", true, true),
        ("has(identity.id) && !has(identity.claims.none)", true, true),
        ("has(identity.claims.org.name) && !has(identity.claims.org.x)", true, true),
        ("'x-a' in request.headers && !('x-b' in request.headers)", true, true),
        ("'admin' in identity.claims.roles && 'name' in identity.claims.org", true, true),
        ("'read' in identity.scopes && 'q' in request.query && 'sid' in request.cookies", true, true),
        ("'userId' in params", true, true),
        ("request.method in ['GET', 'HEAD']", true, true),
        ("identity.claims.n in [1, 3u]", true, true),
        ("identity.claims.n == 3.0 && identity.claims.n == 3u", true, true),
        ("identity.claims.nil == null", true, true),
        ("identity.claims.roles == 'admin'", false, true),
        ("request.path.startsWith('/api/') && request.host.endsWith('.com')", true, true),
        ("request.path.matches('^/api/[a-z]+/') && matches(identity.id, 'lic')", true, true),
        ("identity.claims.none == 'x' || true", true, true),
        ("true || identity.claims.none == 'x'", true, true),
        ("identity.claims.none == 'x' && false", false, true),
        ("identity.claims.roles.exists(r, r == 'dev')", true, false),
        ("identity.claims.org.tags == [1u, 2, 'x']", true, false),
        ("size(identity.scopes) == 2 && identity.scopes == ['read', 'write']", true, false),
        ("request.headers.exists(k, k == 'host')", false, false),
        ("request.query.exists(k, k == 'q') || request.cookies.size() == 2", true, false),
        ("identity.claims.n + 1 > 3 ? identity.id == 'alice' : false", true, false),
        ("identity.claims.none.size() == 1 || true", true, false),
        ("type(identity.claims.n) == int && type(identity.claims.big) == uint", true, false),
        ("[1, 2].all(x, x < 3 || identity.claims.none)", true, false),
        ("{'a': identity.id}['a'] == 'alice'", true, false),
        ("request.cookies[request.cookies.theme == 'd%20k' ? 'sid' : 'x'] == 'abc'", true, false),
    ] {
        let expression = compile(text);
        assert_eq!(expression.is_native(), native, "{text}");
        let result = expression.bool(&exchange);
        // A header that is no UTF-8 spoils the map of all headers, and never opens.
        match text.contains("headers.exists") {
            true => assert!(result.is_err(), "{text}"),
            false => assert_eq!(result, Ok(holds), "{text}"),
        }
    }
    let nobody = nobody();
    assert_eq!(compile("has(identity.id)").bool(&nobody), Ok(false));
    assert_eq!(compile("has(identity.claims.a.b)").bool(&nobody), Ok(false));
    assert!(compile("identity.id == params.userId").bool(&nobody).is_err());
    assert!(compile("identity.id != params.userId").bool(&nobody).is_err());
    assert!(compile("!(identity.id == 'x')").bool(&nobody).is_err());
}

#[test]
fn values_keep_their_types() {
    let exchange = alice();
    for (text, value) in [
        ("identity.claims.org", json!({"name": "acme", "tags": [1, 2.0, "x"]})),
        ("identity.claims.big", json!(u64::MAX)),
        ("identity.claims.nil", json!(null)),
        ("identity.scopes", json!(["read", "write"])),
        ("request.cookies", json!({"sid": "abc", "theme": "d%20k"})),
        ("params", json!({"userId": "a b", "in": "x/y"})),
        ("[identity.id, 'x'].map(x, x + '!')", json!(["alice!", "x!"])),
        ("{'n': identity.claims.n}", json!({"n": 3})),
        ("b'ab'", json!("YWI=")),
    ] {
        assert_eq!(compile(text).value(&exchange), Ok(value.into()), "{text}");
    }
    assert!(compile("0.0 / 0.0").value(&exchange).is_err());
    assert!(compile("identity.claims.org.tags.map(t, t)").text(&exchange).is_err());
}

/// Mistakes: what is wrong, where, and the help.
const MISTAKES: &[(&str, &str, &str, Option<&str>)] = &[
    ("requst.path == 'x'", "there is no name `requst`", "requst.path", Some("did you mean `request`?")),
    ("userId == 'x'", "there is no name `userId`", "userId", Some("did you mean `params.userId`?")),
    ("true && request.pth", "`request` has no member `pth`", "request.pth", Some("did you mean `path`?")),
    ("request . path [ 'x' ]", "a text has no members", "request . path [ 'x' ]", None),
    (
        "params.userid",
        "the pattern has no parameter `userid`",
        "params.userid",
        Some("did you mean `userId`?"),
    ),
    (
        "identity.name",
        "`identity` has no member `name`",
        "identity.name",
        Some("they are `id`, `claims`, `scopes`, `method`"),
    ),
    (
        "identity == null",
        "`identity` is read by its members",
        "identity",
        Some("they are `id`, `claims`, `scopes`, `method`"),
    ),
    ("has(request.pth)", "`request` has no member `pth`", "request.pth", Some("did you mean `path`?")),
    (
        "request.headers['X-A'] == ''",
        "header names are in lower case",
        "request.headers['X-A']",
        Some("write `x-a`"),
    ),
    ("'X-A' in request.headers", "header names are in lower case", "'X-A'", Some("write `x-a`")),
    (
        "request.path.startWith('x')",
        "there is no function `startWith`",
        "startWith",
        Some("did you mean `startsWith`?"),
    ),
    ("request.path.startsWith()", "`startsWith` takes 1 argument, not 0", "startsWith", None),
    ("size(1, 2)", "`size` takes 1 argument, not 2", "size", None),
    (
        "startsWith('a', 'b')",
        "`startsWith` is called on a value",
        "startsWith",
        Some("write `text.startsWith(part)`"),
    ),
    ("[1].all(x)", "`all` is not called so", "all", Some("write `list.all(x, condition)`")),
    (
        "[1].all(request, true)",
        "`request` is a name of the gateway and cannot be a loop's variable",
        "(",
        None,
    ),
    ("my_fn(1)", "there is no function `my_fn`", "my_fn", None),
    ("timestmp('x')", "there is no function `timestmp`", "timestmp", Some("did you mean `timestamp`?")),
    ("'a'.trimm()", "there is no function `trimm`", "trimm", Some("did you mean `trim`?")),
    ("'a'.quote()", "there is no function `quote`", "quote", None),
    ("strings.quote()", "`strings.quote` takes 1 argument, not 0", "strings.quote", None),
    (
        "strings.qote('a')",
        "there is no function `strings.qote`",
        "strings.qote",
        Some("did you mean `strings.quote`?"),
    ),
    ("trim('a')", "`trim` is called on a value", "trim", Some("write `text.trim()`")),
    ("'a'.split()", "`split` takes 1 or 2 arguments, not 0", "split", None),
    ("google.protobuf.Time", "there is no name `google`", "google.protobuf.Time", None),
    ("request.path.matches('[')", "the pattern cannot be compiled: unclosed character class", "[", None),
    (
        "[request.path].all(p, p.matches('a(?=b)'))",
        "the pattern cannot be compiled: look-around, including look-ahead and look-behind, is not supported",
        "(?=",
        Some("RE2 has none"),
    ),
    (
        "request.path.matches('a\\n\\\\C')",
        "the pattern cannot be compiled: unrecognized escape sequence",
        "'a\\n\\\\C'",
        Some("a single byte cannot be matched"),
    ),
    ("request.path.matches(request.host)", "the pattern of `matches` must be a literal text", ".", None),
    ("item == 1", "`item` is not known here", "item", Some("only a source with `for_each` has it")),
    ("sources.usr.body", "there is no source `usr`", "sources.usr.body", Some("did you mean `user`?")),
    ("Foo{a: 1}", "messages cannot be made", "{", Some("a map is written `{\"key\": value}`")),
    ("optional.of(1)", "there is no function `of`", "of", None),
    ("é = 1", "`é` is not expected here", "é", None),
    ("'é' == 'e' = 1", "`=` is not expected here", "=", Some("equality is `==`")),
    ("true and false", "`and` is not expected here", "a", Some("write `&&`")),
    ("'a' ==", "the expression ends too early", "", None),
    ("  ", "the expression is empty", "  ", None),
    ("has(identity)", "invalid argument to has()", "i", Some("ask for a member: `has(identity.id)`")),
];

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn mistakes_are_found_at_load_where_they_are() {
    for &(text, what, at, help) in MISTAKES {
        assert_eq!(error(text), (what.to_owned(), at.to_owned(), help.map(str::to_owned)), "{text}");
    }
    let forbidden = Expression::compile("a.b || has(identity.id)", &Scope::default()).unwrap_err();
    assert_eq!(forbidden.len(), 2, "all faults at once");
    assert_eq!(forbidden[1].what, "`identity` is not known here");
    assert!(Expression::compile("rest", &Scope::default()).is_err());
    assert!(Expression::compile("sources.a.body", &Scope::default()).is_err());
}

#[test]
fn no_text_can_exhaust_the_stack() {
    let long = |head: &str, piece: &str, tail: &str| {
        let times = (8 * 1024 - head.len() - tail.len()) / piece.len();
        [head, &piece.repeat(times), tail].concat()
    };
    for text in [
        long("1", "+1", ""),
        long("identity.claims", ".a", ""),
        long("identity.claims", "[0]", ""),
        long("", "!", "true"),
        long("", "-", "1"),
        long("", "(", ""),
        long("", "[", ""),
        long("", "a?", ""),
        long("identity.scopes", ".map(x,x)", ""),
        "(".repeat(4000) + "1" + &")".repeat(4000),
    ] {
        // Flat chains of unary signs are fine; everything else is refused.
        if let Ok(expression) = Expression::compile(&text, &scope()) {
            let _ = expression.value(&alice());
        }
    }
    assert!(Expression::compile(&long("", " ", "1+1+1"), &scope()).is_ok());
    assert!(Expression::compile(&(" ".repeat(8192) + "1"), &scope()).is_err());
    // What is admitted can be evaluated on a small stack.
    let deep = ["1", &"+1".repeat(62)].concat();
    let nested = format!("{}1{}", "[".repeat(55), ".map(x,[x][0])".repeat(4) + &"]".repeat(55));
    let nested = nested.replace("1.map", "[1].map");
    let chain = format!("[1]{}", ".map(x, x + x)".repeat(58));
    let called = format!("[1].all(x, {}x{} != '')", "string(".repeat(55), ")".repeat(55));
    let evaluate = move || {
        for text in [deep, nested, chain, called] {
            compile(&text).value(&alice()).unwrap();
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(evaluate).unwrap().join().unwrap();
}

#[test]
fn what_is_read_is_known_at_load() {
    let expression =
        compile("has(identity.id) ? request.headers['x-a'] : params.userId + request.query.q + rest");
    assert!(expression.needs_identity());
    assert_eq!(
        expression.references(),
        [
            Reference::Identity("id"),
            Reference::Header(Some("x-a".into())),
            Reference::Param(Some("userId".into())),
            Reference::Query(Some("q".into())),
            Reference::Rest,
        ]
    );
    assert!(!compile("client.ip").needs_identity());
    assert!(compile("client.ip").is_client_ip() && !compile("client.ip + ''").is_client_ip());
    fn shared<T: Send + Sync>() {}
    shared::<Expression>();
}

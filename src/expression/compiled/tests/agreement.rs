//! The tree that is read in place, the interpreter, and both together say the same.

use proptest::prelude::*;

use super::*;

/// The exchange as plain variables, for an interpreter that knows nothing of nodes.
fn reference(text: &str, known: bool) -> Option<bool> {
    let mut env = environment();
    // In ours patterns are compiled at load.
    let (text_type, pattern) = (cel::common::types::STRING_TYPE, vec![cel::common::types::STRING_TYPE]);
    env.add_member_overload("matches", "matches_text", text_type, pattern, |args| {
        let text = |at: usize| args[at].downcast_ref::<cel::common::types::CelString>().unwrap().inner();
        let found = crate::config::regex(text(1)).unwrap().is_match(text(0));
        Ok(cel::common::value::CowVal::owned(cel::common::types::CelBool::from(found)))
    })
    .unwrap();
    let env = std::sync::Arc::new(env);
    let mut context = cel::Context::with_env(env.clone());
    let identity = match known {
        true => json!({"id": "alice", "method": "jwt", "scopes": ["read", "a"], "claims": claims()}),
        false => json!({}),
    };
    let request = json!({"method": "GET", "scheme": "https", "path": "/u/a", "host": "api.example.com",
        "headers": {"host": "api.example.com", "x-a": "a"}, "query": {"q": "a", "n": "1"}, "cookies": {"c": "a"}});
    for (name, value) in [
        ("request", request),
        ("identity", identity),
        ("client", json!({"ip": "192.0.2.1"})),
        ("params", json!({"userId": "a"})),
        ("rest", json!("/a")),
        ("listener", json!("edge")),
        ("route", json!("/test")),
    ] {
        context.add_variable(name, value).unwrap();
    }
    match env.compile(text).unwrap().execute(&context) {
        Ok(cel::Value::Bool(truth)) => Some(truth),
        _ => None,
    }
}

fn claims() -> serde_json::Value {
    json!({"s": "a", "n": 1, "half": 1.5, "big": u64::MAX, "nil": null, "t": true, "f": false,
        "list": ["a", 1, null, [1]], "map": {"a": 1, "b": {"c": "a"}}, "same": {"a": 1.0, "b": {"c": "a"}}, "price": 1.10})
}

const OPERANDS: &[&str] = &[
    "request.method",
    "request.path",
    "request.host",
    "request.headers['x-a']",
    "request.headers.none",
    "request.query.q",
    "request.cookies.c",
    "request.cookies.none",
    "client.ip",
    "identity.id",
    "identity.claims.s",
    "identity.claims.n",
    "identity.claims.half",
    "identity.claims.price",
    "identity.claims.same.a",
    "[identity.claims.n, identity.claims.half][1]",
    "1.1",
    "identity.claims.big",
    "identity.claims.nil",
    "identity.claims.t",
    "identity.claims.f",
    "identity.claims.list",
    "identity.claims.list[0]",
    "identity.claims.list[9]",
    "identity.claims.map",
    "identity.claims.same",
    "identity.claims.map.b.c",
    "identity.claims.map[0]",
    "identity.claims.none",
    "identity.claims.s.x",
    "identity.claims",
    "identity.scopes[1]",
    "params.userId",
    "rest",
    "listener",
    "'a'",
    "'GET'",
    "1",
    "1u",
    "1.0",
    "1.5",
    "18446744073709551615u",
    "-1",
    "true",
    "false",
    "null",
    "'/u/a'",
];

const CONTAINERS: &[&str] = &[
    "request.headers",
    "request.query",
    "request.cookies",
    "params",
    "identity.scopes",
    "identity.claims",
    "identity.claims.list",
    "identity.claims.map",
    "identity.claims.s",
    "identity.claims.none",
    "['a', 1, 1.5]",
];

const TESTED: &[&str] = &[
    "identity.id",
    "identity.claims",
    "identity.claims.s",
    "identity.claims.none",
    "identity.claims.map.b",
    "identity.claims.none.x",
    "identity.claims.s.x",
    "identity.claims.list.x",
    "request.headers.none",
    "request.query.q",
    "request.path",
    "params.userId",
];

fn condition() -> impl Strategy<Value = String> {
    let operand = || prop::sample::select(OPERANDS);
    let leaf = prop_oneof![
        3 => (operand(), prop::sample::select(vec!["==", "!="]), operand()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        2 => (operand(), prop::sample::select(CONTAINERS)).prop_map(|(a, b)| format!("{a} in {b}")),
        2 => prop::sample::select(TESTED).prop_map(|path| format!("has({path})")),
        1 => (operand(), prop::sample::select(vec!["contains('a')", "startsWith('/')", "endsWith('a')",
            "matches('^.$')"])).prop_map(|(a, test)| format!("({a}).{test}")),
        1 => operand().prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Evaluated in place, evaluated in the interpreter with the simple parts cut out, and evaluated in an
    /// interpreter that was given every value: the verdict is the same.
    #[test]
    fn every_way_of_evaluating_agrees(text in condition(), known: bool) {
        // Where nobody is known every member of `identity` is absent, as the language wants it and CEL does not.
        prop_assume!(known || !text.contains("has(identity.claims"));
        // Refused at load: it could never hold.
        prop_assume!(!text.contains("'GET' in request.headers"));
        let mut builder = Builder::get("/u/a?q=a&n=1").header("x-a", "a").header("cookie", "c=a").param("userId", 1).rest(2);
        if known {
            builder = builder.identity("alice", claims(), &["read", "a"]);
        }
        let exchange = builder.build();
        let expected = reference(&text, known);
        prop_assert_eq!(compile(&text).bool(&exchange).ok(), expected, "in place");
        let mixed = compile(&format!("({text}) ? true : [false].exists(x, x)"));
        prop_assert!(!mixed.is_native());
        prop_assert_eq!(mixed.bool(&exchange).ok(), expected, "cut out");
    }

    /// Whatever is written, compiling it gives an answer, and errors point into the text.
    #[test]
    fn no_text_breaks_the_compiler(text in "[a-z.'\"\\\\(){}\\[\\]?:!=&|+é 0-9,-]{0,40}") {
        if let Err(errors) = Expression::compile(&text, &scope()) {
            for error in errors {
                prop_assert!(text.get(error.offset..error.offset + error.len).is_some(), "{:?}", error);
            }
        }
    }
}

use serde_json::json;

use super::*;
use crate::exchange::Exchange;
use crate::exchange::testing::Builder;

fn scope() -> Scope {
    Scope { identity: true, params: vec!["userId".into()], ..Scope::default() }
}

fn exchange() -> Exchange {
    Builder::get("/u/a%22b")
        .param("userId", 1)
        .identity("alice", json!({"n": 3, "list": [1, null], "nil": null}), &["read"])
        .build()
}

#[test]
fn strings_are_templates_and_the_rest_stays() {
    for (text, made) in [
        (r#"{"{userId}": 1.10 , "a":"x {userId}"}"#, r#"{"{userId}": 1.10 , "a":"x a\"b"}"#),
        (r#"{"n": "{identity.claims.n}", "t": "n={identity.claims.n}"}"#, r#"{"n": 3, "t": "n=3"}"#),
        (
            r#"["{identity.claims.list}", "{identity.claims.nil}", "{identity.scopes}"]"#,
            r#"[[1,null], null, ["read"]]"#,
        ),
        (r#""{{}}""#, r#""{}""#),
        (r#"{"a\"": "\u007buserId}", "k" : "{ {\"x\": 1} }"}"#, r#"{"a\"": "a\"b", "k" : {"x":1}}"#),
        ("[]", "[]"),
    ] {
        let template =
            JsonTemplate::compile(text, &scope()).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        let rendered = template.render(&exchange()).unwrap();
        assert_eq!(rendered, made, "{text}");
        serde_json::from_str::<IgnoredAny>(&rendered).unwrap();
    }
    assert_eq!(JsonTemplate::compile(r#"{"a": "b"}"#, &scope()).unwrap().literal(), Some(r#"{"a": "b"}"#));
}

#[test]
fn mistakes_and_absent_values_are_errors() {
    let errors = JsonTemplate::compile(r#"{"a": "{userid}"}"#, &scope()).unwrap_err();
    assert_eq!((errors[0].offset, errors[0].what.as_str()), (8, "there is no name `userid`"));
    assert!(JsonTemplate::compile("{", &scope()).is_err());
    let template = JsonTemplate::compile(r#"["{identity.claims.x}"]"#, &scope()).unwrap();
    assert!(template.needs_identity());
    assert!(template.render(&exchange()).is_err_and(|error| error.is_absent()));
    let list = JsonTemplate::compile(r#"["a {identity.claims.list}"]"#, &scope()).unwrap();
    assert!(list.render(&exchange()).is_err());
}

#[test]
fn pieces_told_apart_elsewhere_are_put_together() {
    let literal = [Segment { text: "{\"", literal: true }, Segment { text: " {userId}", literal: false }];
    let parts = [JsonPart::Raw("{\"a\":"), JsonPart::Text(&literal), JsonPart::Raw("}")];
    let template = JsonTemplate::from_parts(&parts, &scope()).unwrap();
    assert_eq!(template.render(&exchange()).unwrap(), r#"{"a":"{\" a\"b"}"#);
}

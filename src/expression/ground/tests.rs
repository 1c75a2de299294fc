use std::sync::OnceLock;

use serde_json::json;

use super::*;
use crate::exchange::testing::Builder;
use crate::expression::{Expression, Scope};

fn scope() -> Scope {
    Scope { sources: vec!["user".into(), "orders".into()], item: true, response: true, ..Scope::default() }
}

fn answered(body: Option<&'static str>) -> Answered {
    let mut headers = Headers::new();
    headers.append("x-total", b"7").unwrap();
    Answered::new(Some(200), headers, body.map(|body| Bytes::from_static(body.as_bytes())))
}

#[test]
fn what_services_have_said_is_read() {
    let exchange = Builder::get("/").build();
    let user = answered(Some(r#"{"id":9007199254740993,"tags":["a"],"name":"Ada"}"#));
    let sources = [OnceLock::from(user), OnceLock::new()];
    let item = json!({"sku": "s-1"}).into();
    let response = answered(Some("[1,2]"));
    let ground = Ground::from(&exchange).with_sources(&sources).with_item(&item).with_response(&response);
    for (text, value) in [
        ("sources.user.status", json!(200)),
        ("sources.user.body.id", json!(9_007_199_254_740_993_u64)),
        ("sources.user.body.tags[0]", json!("a")),
        ("sources.user.headers[\"x-total\"]", json!("7")),
        ("sources.user.headers", json!({"x-total": "7"})),
        ("has(sources.user.body.name)", json!(true)),
        ("has(sources.user.body.none)", json!(false)),
        ("has(sources.orders.body)", json!(false)),
        ("has(sources.orders.status)", json!(false)),
        ("\"a\" in sources.user.body.tags", json!(true)),
        ("\"x-total\" in sources.user.headers", json!(true)),
        ("size(sources.user.body.tags) + 1", json!(2)),
        ("item.sku", json!("s-1")),
        ("item", json!({"sku": "s-1"})),
        ("response.body.map(n, n * 2)", json!([2, 4])),
        ("response.status == 200", json!(true)),
    ] {
        let expression = Expression::compile(text, &scope()).unwrap();
        assert_eq!(expression.value(ground).unwrap(), value.into(), "{text}");
    }
    for text in ["sources.orders.body.id", "sources.orders.status", "sources.user.body.none"] {
        let expression = Expression::compile(text, &scope()).unwrap();
        assert!(expression.value(ground).is_err(), "{text}");
    }
}

#[test]
fn a_body_that_makes_no_tree_is_an_error_and_never_a_panic() {
    let exchange = Builder::get("/").build();
    let deep: &'static str = Box::leak(("[".repeat(400) + &"]".repeat(400)).into_boxed_str());
    for body in ["{", "1e", deep] {
        let sources = [OnceLock::from(answered(Some(body)))];
        let expression = Expression::compile("sources.user.body", &scope()).unwrap();
        let ground = Ground::from(&exchange).with_sources(&sources);
        assert!(expression.value(ground).unwrap_err().to_string().contains("cannot be read as JSON"));
    }
}

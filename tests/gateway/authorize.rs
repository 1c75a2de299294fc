//! What an identity may do: conditions in CEL that never open by an error.

use serde_json::{Value, json};

use crate::support::token::{self, SECRET, now};
use crate::support::{Answer, Gateway, Origin};

const CONFIG: &str = "
    auth:
      user: { jwt: { secret: '${SECRET}' }, identity: { x-user-id: sub } }
    policies: { auth: user }
    routes:
      /users/{userId}: { upstream: ORIGIN1, policies: { authorize: 'identity.id == params.userId' } }
      /admin/*: { upstream: ORIGIN1, policies: { authorize: '\"admin\" in identity.claims.roles' } }
      /level/*: { upstream: ORIGIN1, policies: { authorize: 'identity.claims.level > 3' } }
      /text/*: { upstream: ORIGIN1, policies: { authorize: 'identity.claims.flag' } }
      /asked/*: { upstream: ORIGIN1, policies: { authorize: 'has(identity.claims.level) && identity.claims.level > 3' } }
      /header/*: { upstream: ORIGIN1, policies: { authorize: 'request.headers[\"x-tenant\"] == identity.claims.tenant' } }
      /all/*:
        upstream: ORIGIN1
        policies:
          authorize:
            - { require: 'identity.claims.tenant == \"t1\"', reason: 'only for tenant t1' }
            - { require: 'request.method == \"GET\"', reason: 'read only' }
            - { require: 'identity.claims.level > 3' }
      /scope/*: { upstream: ORIGIN1, policies: { authorize: '\"orders:read\" in identity.scopes' } }
      /open/*: { upstream: ORIGIN1, policies: { auth: none, authorize: 'has(identity.id)' } }
    ";

fn gateway(origin: &Origin) -> Gateway {
    Gateway::prepare(&[origin]).env("SECRET", SECRET).start(CONFIG)
}

fn ask(gateway: &Gateway, target: &str, extra: Value, headers: &[(&str, &str)]) -> Answer {
    let mut claims = json!({ "sub": "alice", "exp": now() + 300 });
    for (name, value) in extra.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let credentials = format!("Bearer {}", token::with_claims(&claims));
    let mut all = vec![("Authorization", credentials.as_str())];
    all.extend_from_slice(headers);
    gateway.request("GET", target, &all, b"")
}

#[track_caller]
fn forbidden(answer: &Answer) {
    assert_eq!(answer.problem(403), "forbidden");
    assert!(!answer.headers.has("www-authenticate"));
}

#[test]
fn only_the_owner_passes() {
    // D11
    let origin = Origin::echo();
    let gateway = gateway(&origin);
    assert_eq!(ask(&gateway, "/users/alice", json!({}), &[]).status, 200);
    assert_eq!(ask(&gateway, "/users/%61lice", json!({}), &[]).status, 200, "the same path");
    assert_eq!(ask(&gateway, "/users/42", json!({ "sub": 42 }), &[]).status, 200);
    for target in ["/users/bob", "/users/Alice", "/users/alice%20", "/users/alice%2e"] {
        forbidden(&ask(&gateway, target, json!({}), &[]));
    }
    assert_eq!(gateway.get("/users/alice").problem(401), "missing token", "who asks comes first");
    assert_eq!(origin.count(), 3);
}

#[test]
fn roles_are_asked_for() {
    let origin = Origin::echo();
    let gateway = gateway(&origin);
    assert_eq!(ask(&gateway, "/admin/x", json!({ "roles": ["user", "admin"] }), &[]).status, 200);
    forbidden(&ask(&gateway, "/admin/x", json!({ "roles": ["user", "administrator"] }), &[]));
    forbidden(&ask(&gateway, "/admin/x", json!({ "roles": [] }), &[]));
    assert_eq!(ask(&gateway, "/scope/x", json!({ "scope": "openid orders:read" }), &[]).status, 200);
    forbidden(&ask(&gateway, "/scope/x", json!({ "scope": "orders:reader" }), &[]));
    forbidden(&ask(&gateway, "/scope/x", json!({}), &[]));
    assert_eq!(origin.count(), 2);
}

#[test]
fn an_error_never_opens_and_is_logged() {
    let origin = Origin::echo();
    let gateway = gateway(&origin);
    // An absent claim, a wrong type, a result that is no boolean, an absent header.
    let cases: [(&str, Value); 7] = [
        ("/admin/x", json!({})),
        ("/admin/x", json!({ "roles": 5 })),
        ("/level/x", json!({})),
        ("/level/x", json!({ "level": "9" })),
        ("/text/x", json!({ "flag": "true" })),
        ("/text/x", json!({ "flag": 1 })),
        ("/header/x", json!({ "tenant": "t" })),
    ];
    for (target, extra) in &cases {
        let answer = ask(&gateway, target, extra.clone(), &[]);
        forbidden(&answer);
        assert!(!answer.text().contains("claims"), "how it is asked is not told: {}", answer.text());
    }
    assert_eq!(origin.count(), 0);
    let mut log = gateway.log(cases.len());
    log.retain(|line| line["error"] == "forbidden" && line["reason"] == "condition_error");
    assert_eq!(log.len(), cases.len(), "{:#?}", gateway.log_lines());
    assert!(log.iter().all(|line| line["source"].as_str().is_some_and(|why| !why.is_empty())), "{log:#?}");
    assert_eq!(ask(&gateway, "/text/x", json!({ "flag": true }), &[]).status, 200);
    assert_eq!(ask(&gateway, "/level/x", json!({ "level": 4 }), &[]).status, 200);
    assert_eq!(ask(&gateway, "/header/x", json!({ "tenant": "t" }), &[("X-Tenant", "t")]).status, 200);
}

#[test]
fn what_may_be_absent_can_be_asked_for() {
    let origin = Origin::echo();
    let gateway = gateway(&origin);
    forbidden(&ask(&gateway, "/asked/x", json!({}), &[]));
    assert_eq!(ask(&gateway, "/asked/x", json!({ "level": 4 }), &[]).status, 200);
    let log = gateway.log(2);
    let refused = log.iter().find(|line| line["status"] == 403).unwrap();
    assert_eq!(refused["reason"], "condition", "no error: {refused}");
}

#[test]
fn all_conditions_hold_and_the_first_that_does_not_gives_its_reason() {
    let origin = Origin::echo();
    let gateway = gateway(&origin);
    let good = json!({ "tenant": "t1", "level": 4 });
    assert_eq!(ask(&gateway, "/all/x", good, &[]).status, 200);
    let detail = |answer: Answer| {
        forbidden(&answer);
        answer.json()["detail"].as_str().map(str::to_owned)
    };
    let other = json!({ "tenant": "t2", "level": 4 });
    assert_eq!(detail(ask(&gateway, "/all/x", other, &[])).as_deref(), Some("only for tenant t1"));
    assert_eq!(detail(ask(&gateway, "/all/x", json!({}), &[])).as_deref(), Some("only for tenant t1"));
    let low = json!({ "tenant": "t1", "level": 1 });
    let told = detail(ask(&gateway, "/all/x", low, &[])).unwrap_or_default();
    assert!(!told.contains("t1") && !told.contains("read only"), "{told}");
    let claims = json!({ "sub": "alice", "exp": now() + 300, "tenant": "t1", "level": 4 });
    let credentials = format!("Bearer {}", token::with_claims(&claims));
    let answer = gateway.request("POST", "/all/x", &[("Authorization", &credentials)], b"");
    assert_eq!(detail(answer).as_deref(), Some("read only"));
    assert_eq!(origin.count(), 1);
}

#[test]
fn nobody_is_nobody() {
    let origin = Origin::echo();
    let gateway = gateway(&origin);
    forbidden(&gateway.get("/open/x"));
    forbidden(&ask(&gateway, "/open/x", json!({}), &[]));
    assert_eq!(origin.count(), 0);
}

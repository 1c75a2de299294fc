use super::*;
use crate::server::Source;
use crate::snapshot::compile::Environment;

#[test]
fn every_rule_tells_what_it_does_what_guards_it_and_where_that_was_written() {
    let text = r#"
listeners:
  shop:
    listen: 127.0.0.1:0
    policies: { rate_limit: [inherit, burst] }
    routes:
      /own/*: { upstream: "http://127.0.0.1:1/base", timeout: 1500ms, policies: { auth: none } }
upstreams: { users: { url: "http://127.0.0.1:2" } }
auth: { user: { jwt: { secret: "0123456789abcdef0123456789abcdef" } } }
rate_limits:
  edge: { limit: 10, window: 1s, algorithm: fixed_window, headers: [draft-7] }
  burst: { limit: 5, window: 1s, algorithm: fixed_window, headers: [draft-7] }
policies: { auth: user, rate_limit: edge }
routes:
  /own/*: { respond: { body: never } }
  GET,POST /all:
    - match: { headers: { x-a: "1" } }
      respond: { body: first }
    - aggregate: { sources: { a: { upstream: users, path: /a }, b: { upstream: users, path: /b } } }
"#;
    let compiled = Source::Text { path: "routes.yaml".into(), text: text.to_owned() }
        .compile(None, &Environment::new(1));
    assert_eq!(compiled.diagnostics.render(false), "");
    let told = listing(&compiled.snapshot.unwrap());
    let routes = &told["listeners"][0]["routes"];
    let limits = json!({ "policy": "rate_limit", "from": "listener", "parts": [
        { "is": "edge", "from": "file" }, { "is": "burst", "from": "listener" }] });
    let user = json!({ "policy": "auth", "from": "file", "parts": [{ "is": "user", "from": "file" }] });
    let route = |route: &str,
                 pattern: &str,
                 methods: &[&str],
                 conditional,
                 action: &str,
                 upstreams: &[&str]| {
        json!({ "route": route, "of": "file", "pattern": pattern, "methods": methods, "conditional": conditional, "action": action,
            "upstreams": upstreams, "timeout": "30s", "policies": [limits, user] })
    };
    let mut own = route("/own/*", "/own/*", &[], false, "upstream", &["http://127.0.0.1:1/base"]);
    own["of"] = json!("listener over file");
    own["timeout"] = json!("1500ms");
    own["policies"] = json!([limits]);
    let all = |conditional, action: &str, upstreams: &[&str]| {
        route("GET,POST /all", "/all", &["GET", "POST"], conditional, action, upstreams)
    };
    assert_eq!(*routes, json!([own, all(true, "respond", &[]), all(false, "aggregate", &["users"])]));
}

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode, Version};

use super::*;
use crate::config::load_text;
use crate::exchange::{Body, CoreId, Headers};
use crate::net::Facts;
use crate::snapshot::ListenerPlan;
use crate::snapshot::compile::{Environment, compile, vocabulary};

/// A walk through a gate of this configuration, whose plan may be spoilt before.
fn answer(yaml: &str, target: &str, spoil: impl FnOnce(&mut ListenerPlan)) -> (Response, Option<ErrorKind>) {
    let loaded = load_text(Path::new("portcullis.yaml"), yaml, &|_| None, vocabulary());
    let environment = Environment::new(1);
    let config = Arc::new(loaded.config.unwrap());
    let mut snapshot = compile(&config, None, &environment, &loaded.diagnostics).unwrap();
    let mut plan = Arc::into_inner(snapshot.listeners.remove(0)).unwrap();
    spoil(&mut plan);
    let name = Arc::clone(&plan.name);
    snapshot.listeners.push(Arc::new(plan));
    let pinned = Pinned::new(Arc::new(snapshot), &name).unwrap();
    let core = Rc::new(Core::new(CoreId(0), None, environment.metrics));
    let mut headers = Headers::new();
    headers.append("host", b"gw.test").unwrap();
    let arrived = Arrived {
        connection: &Facts::plain("192.0.2.1:4000".parse().unwrap()),
        started: Instant::now(),
        method: Method::GET,
        target: target.as_bytes(),
        version: Version::HTTP_11,
        headers,
        body: Body::Empty,
        interims: None,
    };
    let mut walk = Walk::admit(core, pinned, arrived);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(walk.serve());
    let error = walk.exchange.record.error;
    walk.complete();
    (answer, error)
}

const ONE: &str = "listen: 127.0.0.1:0\nroutes: { /a: { respond: { body: here } } }\n";

#[test]
fn a_walk_ends_in_the_action_of_its_rule_or_in_a_miss() {
    let (found, error) = answer(ONE, "/a", |_| {});
    assert_eq!((found.status, error), (StatusCode::OK, None));
    assert!(found.headers.has_id(HeaderId::XRequestId) && found.headers.has_id(HeaderId::Date));
    let (missed, error) = answer(ONE, "/b", |_| {});
    assert_eq!((missed.status, error), (StatusCode::NOT_FOUND, Some(ErrorKind::NoRoute)));
}

#[test]
fn a_plan_that_contradicts_itself_is_an_internal_error() {
    let (broken, error) = answer(ONE, "/a", |plan| plan.rules.clear());
    assert_eq!((broken.status, error), (StatusCode::INTERNAL_SERVER_ERROR, Some(ErrorKind::Internal)));
}

#[test]
fn conditions_and_templates_read_parameters_by_their_position() {
    let yaml = r#"
listen: 127.0.0.1:0
routes:
  /x/{a}/{b}:
    - match: { when: 'params.b == "2" && "a" in params && !("c" in params)' }
      respond: { body: { by: "{a}-{b}", all: "{params}" } }
    - match: { when: 'route == "/x/{a}/{b}"' }
      respond: { body: { by: "{b}" } }
  /x/{b}/{a}/more: { respond: { body: { by: "{a}-{b}" } } }
"#;
    for (target, told) in [
        ("/x/1/2", r#"{"by":"1-2","all":{"a":"1","b":"2"}}"#),
        ("/x/2/1", r#"{"by":"1"}"#),
        ("/x/1/2/more", r#"{"by":"2-1"}"#),
    ] {
        let (found, error) = answer(yaml, target, |_| {});
        let Body::Bytes(body) = &found.body else { panic!("{target}: {error:?}") };
        assert_eq!(std::str::from_utf8(body).unwrap(), told, "{target}");
    }
}

//! Values with slashes in the paths of sources: `%2F` where the route keeps it, and a failure with its reason elsewhere.

use serde_json::json;

use crate::support::parts::{JSON, told_words};
use crate::support::{Gateway, Origin};

/// Lists the ids, and answers any other path with itself.
fn service(ids: &'static str) -> Origin {
    Origin::serve(move |turn| match turn.request().target() {
        "/list" => turn.answer(200, &[JSON], ids),
        target => {
            let body = json!(target).to_string();
            turn.answer(200, &[JSON], body);
        }
    })
}

fn config(listener: &str, route: &str) -> String {
    format!(
        "
        listeners: {{ default: {{ listen: 127.0.0.1:0{listener} }} }}
        routes:
          /each:
            {route}
            aggregate:
              mode: partial
              sources:
                list: {{ upstream: ORIGIN1, path: /list }}
                each: {{ upstream: ORIGIN1, path: '/{{item}}', query: {{ q: '{{item}}' }}, for_each: sources.list.body }}
          /one/{{id}}:
            {route}
            aggregate: {{ sources: {{ one: {{ upstream: ORIGIN1, path: '/x/{{id}}' }} }} }}
        "
    )
}

const KEEP: &str = "path: { encoded_slash: keep }";

#[test]
fn a_slash_in_a_value_is_sent_encoded_where_it_is_kept() {
    for (listener, route) in [("", KEEP), (&*format!(", {KEEP}"), "")] {
        let origin = service(r#"["patients/123", "b", "/c"]"#);
        let gateway = Gateway::start(&[&origin], &config(listener, route));
        let answer = gateway.get("/each");
        let expected = ["/patients%2F123?q=patients%2F123", "/b?q=b", "/%2Fc?q=%2Fc"];
        assert_eq!(answer.json()["each"], json!(expected), "{}", answer.text());
        assert_eq!(gateway.get("/one/a%2Fb").json(), json!({ "one": "/x/a%2Fb" }));
    }
}

#[test]
fn a_slash_that_is_not_kept_fails_the_source_and_the_log_says_which() {
    let origin = service(r#"["b", "patients/123"]"#);
    let gateway = Gateway::start(&[&origin], &config("", ""));
    let answer = gateway.get("/each");
    assert_eq!(answer.status, 200);
    assert_eq!(told_words(&answer), "list=ok each=dependency");
    assert_eq!(answer.json()["_errors"], json!({ "each": { "error": "dependency", "status": 502 } }));
    let log = gateway.log(1);
    let note = log[0]["note"].as_str().unwrap();
    assert!(note.contains("item 1: encoded slash in path"), "{note}");
    assert!(note.contains("`path: { encoded_slash: keep }`"), "{note}");
    // What a client says in its own path is its own fault.
    assert_eq!(gateway.get("/one/a%2Fb").problem(400), "malformed request");
}

#[test]
fn a_value_that_hides_a_dot_segment_never_passes() {
    for ids in [r#"["a/../b"]"#, r#"["../b"]"#, r#"["a/.."]"#, r#"["./b"]"#, r#"[".."]"#] {
        let origin = service(ids);
        let gateway = Gateway::start(&[&origin], &config("", KEEP));
        let answer = gateway.get("/each");
        assert_eq!(told_words(&answer), "list=ok each=dependency", "{ids}");
        assert_eq!(origin.count(), 1, "{ids}");
    }
}

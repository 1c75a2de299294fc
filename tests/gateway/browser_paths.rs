//! What browsers leave unencoded in paths: it passes as its escape, with one reading for all.

use serde_json::json;

use crate::support::h2::{Session, block_on};
use crate::support::{Gateway, Origin};

const CONFIG: &str = "
    routes:
      /tags/{tag}:
        upstream: ORIGIN1
        policies: { authorize: 'params.tag == \"[a|b]^\"' }
      /items[0]/*: { upstream: ORIGIN1, rewrite: '/list[0]/' }
      /path: { respond: { body: { path: '{request.path}' } } }
      /path/*: { respond: { body: { path: '{request.path}', rest: '{rest}' } } }
    ";

#[test]
fn what_browsers_leave_unencoded_passes_encoded() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], CONFIG);
    let mut client = gateway.client();
    for (target, seen) in [
        ("/tags/[a|b]^", "/tags/%5Ba%7Cb%5D%5E"),
        ("/tags/%5ba%7Cb%5D%5e?[x]|^", "/tags/%5Ba%7Cb%5D%5E?[x]|^"),
        ("/items[0]/a[1]", "/list%5B0%5D/a%5B1%5D"),
        ("/items%5B0%5D/x", "/list%5B0%5D/x"),
        ("/items%5b0]/x", "/list%5B0%5D/x"),
    ] {
        let answer = client.get(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(origin.last().target(), seen, "{target}");
    }
    assert_eq!(client.get("/tags/[a|c]^").problem(403), "forbidden");
    let answer = client.get("/path/[/../|]");
    assert_eq!(answer.json(), json!({ "path": "/path/%7C%5D", "rest": "/%7C%5D" }));
    for target in ["/path/a\"b", "/path/<a>", "/path/{a}", "/path/`a`", "/path/100%", "/path/a\\b"] {
        assert_eq!(client.get(target).problem(400), "malformed request", "{target}");
    }
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let answer = session.fetch("GET", "/tags/[a|b]^").await.unwrap();
        assert_eq!(answer.status, 200);
    });
    assert_eq!(origin.last().target(), "/tags/%5Ba%7Cb%5D%5E");
}

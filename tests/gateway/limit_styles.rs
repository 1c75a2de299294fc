//! Header styles of limits that meet on one route, and costs that no limit admits.

use crate::support::{Gateway, Origin};

#[test]
fn the_strictest_limit_is_named_in_every_style_of_the_route() {
    let origin = Origin::text("ok");
    let gateway = Gateway::start(
        &[&origin],
        "
        rate_limits:
          edge: { limit: 1000, window: 600s, headers: [legacy] }
          login: { limit: 3, window: 60s, headers: [draft-7] }
        policies: { rate_limit: edge }
        routes:
          /login: { upstream: ORIGIN1, policies: { rate_limit: [inherit, login] } }
          /open: { upstream: ORIGIN1 }
        ",
    );
    let mut client = gateway.client();
    for (status, left) in [(200, "2"), (200, "1"), (200, "0"), (429, "0")] {
        let answer = client.get("/login");
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (status, Some(left)));
        assert_eq!(answer.header("x-ratelimit-limit"), Some("3"));
        let line = answer.header("ratelimit").unwrap();
        assert!(line.starts_with(&format!("limit=3, remaining={left}, reset=")), "{line}");
        assert_eq!(answer.headers.all("ratelimit-policy"), ["3;w=60"]);
    }
    let open = client.get("/open");
    assert_eq!((open.header("x-ratelimit-remaining"), open.header("ratelimit")), (Some("996"), None));
}

#[test]
fn a_cost_that_no_limit_admits_is_refused_whatever_the_store() {
    let origin = Origin::text("ok");
    // Nothing listens there: the limit is one that admits everything.
    let gateway = Gateway::start(
        &[&origin],
        "
        redis: { url: 'redis://127.0.0.1:1' }
        rate_limits:
          here: { limit: 10, window: 60s, cost: 'double(request.headers[\"x-cost\"])', headers: [legacy] }
          there:
            { limit: 10, window: 60s, cost: 'double(request.headers[\"x-cost\"])', status: 503, store: redis, when_store_fails: allow }
        routes:
          /here: { upstream: ORIGIN1, policies: { rate_limit: here } }
          /there: { upstream: ORIGIN1, policies: { rate_limit: there } }
        ",
    );
    let mut client = gateway.client();
    let costs = ["inf", "-inf", "nan", "1e308", "-1e308", "-1", "4294967296", "1e999"];
    for (path, status) in [("/here", 429), ("/there", 503)] {
        for cost in costs {
            let answer = client.request("GET", path, &[("X-Cost", cost)], b"");
            assert_eq!(answer.status, status, "{path} {cost}");
            let problem = answer.json();
            assert_eq!(problem["detail"], "No limit admits a request of this cost.", "{cost}");
            assert!(!answer.headers.has("retry-after") && !answer.headers.has("x-ratelimit-remaining"));
        }
    }
    assert_eq!(origin.count(), 0);
    let whole = client.request("GET", "/here", &[("X-Cost", "9.5")], b"");
    assert_eq!((whole.status, whole.header("x-ratelimit-remaining")), (200, Some("0")), "they took nothing");
    let log = gateway.log(2 * costs.len() + 1);
    assert_eq!(log.iter().filter(|line| line["reason"] == "cost").count(), 2 * costs.len());
}

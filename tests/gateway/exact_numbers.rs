//! Numbers of tokens and answers keep their digits through conditions, keys, calls and shapes.

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::parts::{JSON, json_origin, told_words};
use crate::support::token::{SECRET, now, sign_text};
use crate::support::{Answer, Gateway, Origin};

/// Three ids that one double stands for.
const IDS: [&str; 3] = ["12345678901234567901", "123456789012345678901", "123456789012345678902"];

fn token(claims: &str) -> String {
    let claims = format!("{{\"exp\":{},{claims}}}", now() + 300);
    format!("Bearer {}", sign_text(SECRET, &json!({ "alg": "HS256" }).to_string(), &claims))
}

fn ask(gateway: &Gateway, target: &str, claims: &str) -> Answer {
    gateway.request("GET", target, &[("Authorization", &token(claims))], b"")
}

fn gateway(origins: &[&Origin], routes: &str) -> Gateway {
    let config = format!(
        "
        listen: 127.0.0.1:0
        auth: {{ user: {{ jwt: {{ secret: '${{SECRET}}' }}, identity: {{ x-account: account }} }} }}
        policies: {{ auth: user }}
        routes:
{routes}"
    );
    Gateway::prepare(origins).env("SECRET", SECRET).start(&config)
}

#[test]
fn two_ids_are_never_one_to_a_condition() {
    let origin = Origin::echo();
    let gateway = gateway(
        &[&origin],
        "
          /own/{id}: { upstream: ORIGIN1, policies: { authorize: 'string(identity.claims.account) == params.id' } }
          /loop/{id}: { upstream: ORIGIN1, policies: { authorize: '[identity.claims.account].exists(x, string(x) == params.id)' } }
          /same: { upstream: ORIGIN1, policies: { authorize: 'identity.claims.account == identity.claims.owner' } }
          /other: { upstream: ORIGIN1, policies: { authorize: 'identity.claims.account != identity.claims.owner' } }
          /sum: { upstream: ORIGIN1, policies: { authorize: 'identity.claims.account + 1.0 > 0.0' } }
          /sent: { upstream: ORIGIN1, rewrite: '/{identity.claims.account}' }
        ",
    );
    for mine in IDS {
        let claims = format!("\"sub\":\"u\",\"account\":{mine}");
        for other in IDS.iter().copied().chain(["123456789012345680000", "1.2345678901234568e20"]) {
            let status = if mine == other { 200 } else { 403 };
            for route in ["own", "loop"] {
                let answer = ask(&gateway, &format!("/{route}/{other}"), &claims);
                assert_eq!(answer.status, status, "{route} {mine} {other}");
            }
            let both = format!("{claims},\"owner\":{other}");
            assert_eq!(ask(&gateway, "/same", &both).status, status, "{mine} {other}");
            assert_eq!(ask(&gateway, "/other", &both).status, 603 - status, "{mine} {other}");
        }
        assert_eq!(ask(&gateway, "/sent", &claims).status, 200);
        assert_eq!(origin.last().target(), format!("/{mine}"));
        assert_eq!(origin.last().header("x-account"), Some(mine));
    }
    let lost = format!("\"sub\":\"u\",\"account\":{}", IDS[1]);
    assert_eq!(ask(&gateway, "/sum", &lost).problem(403), "forbidden");
}

#[test]
fn two_ids_share_no_limit_and_no_stored_answer() {
    let origin = Origin::serve(|turn| {
        let body = turn.number().to_string();
        turn.answer(200, &[("Cache-Control", "max-age=600")], body);
    });
    let gateway = gateway(
        &[&origin],
        "
          /limited: { upstream: ORIGIN1, policies: { rate_limit: { limit: 1, window: 1h, key: identity.claims.account } } }
          /looped: { upstream: ORIGIN1, policies: { rate_limit: { limit: 1, window: 1h, key: '[identity.claims.account][0]' } } }
          /keyed: { upstream: ORIGIN1, policies: { cache: { key: '\"k\" + string(identity.claims.account)', shared: true } } }
          /kept: { upstream: ORIGIN1, policies: { cache: {} } }
        ",
    );
    let claims = |id: &str| format!("\"sub\":\"u\",\"account\":{id}");
    for route in ["/limited", "/looped"] {
        for id in IDS {
            assert_eq!(ask(&gateway, route, &claims(id)).status, 200, "{route} {id}");
            assert_eq!(ask(&gateway, route, &claims(id)).status, 429, "{route} {id}");
        }
    }
    for route in ["/keyed", "/kept"] {
        let first: Vec<String> = IDS.iter().map(|id| ask(&gateway, route, &claims(id)).text()).collect();
        let again: Vec<String> = IDS.iter().map(|id| ask(&gateway, route, &claims(id)).text()).collect();
        assert_eq!(first, again, "{route}");
        assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2], "{route}: {first:?}");
    }
    // The claims tell clients apart where no header and no key does.
    let bare = |id: &str| ask(&gateway, "/kept", &format!("\"sub\":\"v\",\"org\":{id}")).text();
    assert_ne!(bare(IDS[1]), bare(IDS[2]));
}

const NUMBERS: &str = "[123456789012345678901, 123456789012345678902, 1.10, 1E400, -0, 12.0, 7]";
const TEXTS: [&str; 7] =
    ["123456789012345678901", "123456789012345678902", "1.10", "1E400", "-0", "12.0", "7"];

#[test]
fn a_call_for_each_number_has_its_digits() {
    let list = json_origin(NUMBERS);
    let objects = json_origin(&format!(
        "[{}]",
        TEXTS.map(|number| format!("{{\"id\":{number},\"ids\":[{number}],\"ok\":true}}")).join(",")
    ));
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Arc::clone(&seen);
    let each = Origin::serve(move |turn| {
        let body = String::from_utf8(turn.body()).unwrap();
        let request = turn.request();
        let said = format!("{} {} {body}", request.target(), request.header("x-id").unwrap_or("-"));
        sink.lock().unwrap().push(said);
        turn.answer(200, &[JSON], "{}");
    });
    let gateway = Gateway::start(
        &[&list, &objects, &each],
        "
        listen: 127.0.0.1:0
        routes:
          /plain:
            aggregate:
              sources:
                list: { upstream: ORIGIN1, path: / }
                each: { upstream: ORIGIN3, path: '/{item}', query: { q: '{item}' }, headers: { x-id: '{item}' }, method: POST,
                  body: { id: '{item}', text: 'n {item}' }, for_each: sources.list.body, concurrency: 1 }
          /objects:
            aggregate:
              sources:
                list: { upstream: ORIGIN2, path: / }
                each: { upstream: ORIGIN3, path: '/{item.id}', query: { q: '{string(item.ids[0])}' }, headers: { x-id: '{item.id}' }, method: POST,
                  body: { id: '{item.id}', text: 'n {item.ids[0]}' }, for_each: 'sources.list.body.filter(o, o.ok)', concurrency: 1 }
          /mapped:
            aggregate:
              sources:
                list: { upstream: ORIGIN2, path: / }
                each: { upstream: ORIGIN3, path: '/{item}', query: { q: '{item}' }, headers: { x-id: '{item}' }, method: POST,
                  body: { id: '{item}', text: 'n {item}' }, for_each: 'sources.list.body.map(o, o.ids[0])', concurrency: 1 }
          /single:
            aggregate:
              sources:
                list: { upstream: ORIGIN2, path: / }
                each: { upstream: ORIGIN3, path: '/{sources.list.body[0].id}/{sources.list.body[2].id}', query: { q: '{[sources.list.body[3].id][0]}' } }
        ",
    );
    for route in ["/plain", "/objects", "/mapped"] {
        seen.lock().unwrap().clear();
        assert_eq!(gateway.get(route).status, 200, "{route}");
        let expected: Vec<String> = TEXTS
            .iter()
            .map(|number| {
                format!("/{number}?q={number} {number} {{\"id\":{number},\"text\":\"n {number}\"}}")
            })
            .collect();
        assert_eq!(*seen.lock().unwrap(), expected, "{route}");
    }
    seen.lock().unwrap().clear();
    assert_eq!(gateway.get("/single").status, 200);
    assert_eq!(*seen.lock().unwrap(), ["/123456789012345678901/1.10?q=1E400 - "]);
}

#[test]
fn what_would_lose_digits_fails_as_a_dependency() {
    let list = json_origin(NUMBERS);
    let each = Origin::echo();
    let gateway = Gateway::start(
        &[&list, &each],
        "
        listen: 127.0.0.1:0
        routes:
          /:
            aggregate:
              mode: partial
              sources:
                list: { upstream: ORIGIN1, path: / }
                sum: { upstream: ORIGIN2, path: '/{item + 1.0}', for_each: sources.list.body }
                whole: { upstream: ORIGIN2, path: '/{int(item)}', for_each: 'sources.list.body.map(n, double(n))' }
        ",
    );
    assert_eq!(told_words(&gateway.get("/")), "list=ok sum=dependency whole=dependency");
    assert_eq!(each.count(), 0);
}

#[test]
fn a_shape_that_makes_an_answer_anew_keeps_digits() {
    let origin = json_origin(&format!("{{\"ids\":{NUMBERS},\"price\":1.10}}"));
    let gateway = Gateway::start(
        &[&origin],
        "
        listen: 127.0.0.1:0
        routes:
          /made: { upstream: ORIGIN1, policies: { shape: { body: '{\"all\": response.body.ids.filter(n, n != 7), \"first\": response.body.ids[0], \"price\": response.body.price}' } } }
          /whole: { upstream: ORIGIN1, policies: { shape: { body: 'response.body' } } }
        ",
    );
    let most = TEXTS[..6].join(",");
    let text = gateway.get("/made").text();
    assert_eq!(text, format!("{{\"all\":[{most}],\"first\":{},\"price\":1.10}}", TEXTS[0]));
    assert_eq!(gateway.get("/whole").text(), format!("{{\"ids\":[{}],\"price\":1.10}}", TEXTS.join(",")));
}

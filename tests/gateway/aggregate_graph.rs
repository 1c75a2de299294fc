//! When a source is called: what it waits for, what it reads of others, when it is skipped, and lists of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::parts::{JSON, json_origin, told_words};
use crate::support::{Answer, Gate, Gateway, Origin, Turn};

/// One route `/home/{id}` in mode partial with those sources.
fn partial(sources: &str) -> String {
    let sources: String =
        sources.lines().map(|line| format!("                {}\n", line.trim_start())).collect();
    format!(
        "
        routes:
          /home/{{id}}:
            aggregate:
              mode: partial
              sources:
{sources}"
    )
}

fn gated(gate: &Gate, body: &'static str) -> Origin {
    let gate = gate.clone();
    Origin::serve(move |turn| {
        turn.wait(&gate);
        turn.answer(200, &[JSON], body);
    })
}

/// Answers 200 with its own target as a string.
fn target_origin() -> Origin {
    Origin::serve(|turn| {
        let target = json!(turn.request().target()).to_string();
        turn.answer(200, &[JSON], target);
    })
}

fn failing() -> Origin {
    Origin::serve(|turn| turn.answer(503, &[JSON, ("X-Total", "9")], "{\"secret\":1}"))
}

#[track_caller]
fn is(answer: &Answer, text: &str, words: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (200, text));
    assert_eq!(told_words(answer), words);
}

#[test]
fn a_source_starts_once_what_it_needs_is_there_and_waits_for_no_one_else() {
    let (first, second, third) = (Gate::new(), Gate::new(), Gate::new());
    let user = gated(&first, r#"{"segment":"a b"}"#);
    let orders = gated(&second, "[1]");
    let tips = gated(&third, "[2]");
    let gateway = Gateway::start(
        &[&user, &orders, &tips],
        &partial(
            "tips:   { upstream: ORIGIN3, path: '/recommend/{sources.user.body.segment}' }
             user:   { upstream: ORIGIN1, path: '/{id}' }
             orders: { upstream: ORIGIN2, path: '/{id}' }",
        ),
    );
    let mut client = gateway.client();
    client.send("GET /home/7 HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    user.wait_count(1);
    orders.wait_count(1);
    assert_eq!(tips.count(), 0);
    first.open();
    // The orders have not come: nobody waits for them.
    tips.wait_count(1);
    assert_eq!(tips.only().target(), "/recommend/a%20b");
    third.open();
    second.open();
    is(&client.read(), r#"{"tips":[2],"user":{"segment":"a b"},"orders":[1]}"#, "tips=ok user=ok orders=ok");
}

#[test]
fn a_source_may_need_several_that_need_others() {
    let (left, right) = (Gate::new(), Gate::new());
    let root = json_origin(r#"{"n":1}"#);
    let origins = [gated(&left, r#"{"n":2}"#), gated(&right, r#"{"n":3}"#), target_origin()];
    let gateway = Gateway::start(
        &[&root, &origins[0], &origins[1], &origins[2]],
        &partial(
            "end:   { upstream: ORIGIN4, path: '/{sources.left.body.n}/{sources.right.body.n}/{sources.root.body.n}' }
             left:  { upstream: ORIGIN2, path: '/{sources.root.body.n}' }
             right: { upstream: ORIGIN3, path: '/{sources.root.body.n}' }
             root:  { upstream: ORIGIN1, path: / }",
        ),
    );
    let mut client = gateway.client();
    client.send("GET /home/7 HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origins[0].wait_count(1);
    origins[1].wait_count(1);
    left.open();
    assert_eq!(origins[2].count(), 0);
    right.open();
    let text = r#"{"end":"/2/3/1","left":{"n":2},"right":{"n":3},"root":{"n":1}}"#;
    is(&client.read(), text, "end=ok left=ok right=ok root=ok");
}

#[test]
fn what_is_said_of_another_is_its_status_its_headers_and_its_body() {
    let user = Origin::serve(|turn| {
        let headers = [JSON, ("X-Total", "5"), ("X-Odd", "a/b?c&d=#%")];
        turn.answer(
            201,
            &headers,
            r#"{"deep":{"list":[{"x":12345678901234567}]},"t":true,"f":1.5,"n":"a/../b?q=1&r#é"}"#,
        );
    });
    let echo = target_origin();
    let gateway = Gateway::start(
        &[&user, &echo],
        &partial(
            r#"user: { upstream: ORIGIN1, path: / }
               a: { upstream: ORIGIN2, path: '/{sources.user.status}/{sources.user.headers["x-total"]}/{sources.user.body.deep.list[0].x}' }
               b: { upstream: ORIGIN2, path: '/{sources.user.body.t}/{sources.user.body.f}/{size(sources.user.body.deep.list)}' }
               c: { upstream: ORIGIN2, path: '/x/{sources.user.body.n}/y' }
               d: { upstream: ORIGIN2, path: '/x', query: { q: '{sources.user.headers["x-odd"]}', plain: 'a b' } }"#,
        ),
    );
    let answer = gateway.get("/home/7");
    let body = answer.json();
    // A value with a slash is one segment, or cannot stand in a path. It is not the client's fault, and adds no segment.
    let one_segment = "/x/a%2F..%2Fb%3Fq%3D1%26r%23%C3%A9/y";
    let c = if body["c"].is_null() { "dependency" } else { "ok" };
    assert_eq!(told_words(&answer), format!("user=ok a=ok b=ok c={c} d=ok"));
    assert!(c == "dependency" || body["c"] == one_segment, "{body}");
    assert_eq!(body["a"], "/201/5/12345678901234567");
    assert_eq!(body["b"], "/true/1.5/1");
    let query = body["d"].as_str().unwrap().strip_prefix("/x?").unwrap().replace('+', "%20");
    assert_eq!(query.split('&').collect::<Vec<_>>(), ["q=a%2Fb%3Fc%26d%3D%23%25", "plain=a%20b"]);
}

#[test]
fn a_fallback_is_read_by_those_that_depend_on_it() {
    let (user, echo) = (failing(), target_origin());
    let gateway = Gateway::start(
        &[&user, &echo],
        &partial(
            r#"user:  { upstream: ORIGIN1, path: /, fallback: { segment: all, n: 1.10 } }
               tips:  { upstream: ORIGIN2, path: '/{sources.user.body.segment}/{sources.user.status}' }
               total: { upstream: ORIGIN2, path: '/{sources.user.headers["x-total"]}' }
               gone:  { upstream: ORIGIN2, path: '/{sources.total.body.x}', fallback: "none" }"#,
        ),
    );
    let answer = gateway.get("/home/7");
    let body = answer.json();
    assert_eq!(body["tips"], "/all/503", "its status is the one that is told");
    assert_eq!(body["total"], json!(null), "and it has no headers");
    assert_eq!(body["gone"], "none");
    let dependency = json!({ "error": "dependency", "status": 502 });
    let status = json!({ "error": "status", "status": 503 });
    assert_eq!(body["_errors"], json!({ "user": status, "total": dependency, "gone": dependency }));
    assert_eq!(told_words(&answer), "user=status tips=ok total=dependency gone=dependency");
    assert_eq!(echo.count(), 1, "what is a dependency is not called");
}

#[test]
fn what_is_not_there_is_a_dependency() {
    let (user, echo) = (json_origin(r#"{"a":1,"up":"..","none":"","null":null}"#), target_origin());
    for needs in [
        "path: '/{sources.broken.body.x}'",
        "path: '/{sources.off.body.x}'",
        "path: '/{sources.user.body.b}'",
        "path: '/{sources.user.body.a.b}'",
        "path: '/{sources.user.headers[\"x-none\"]}'",
        "path: '/{request.headers[\"x-none\"]}'",
        "path: '/x', query: { q: '{sources.user.body.b}' }",
        "path: '/x', headers: { x-q: '{sources.user.body.b}' }",
        "path: '/x', method: POST, body: { q: '{sources.user.body.b}' }",
        "path: '/x', for_each: 'sources.user.body.b'",
        "path: '/x', for_each: 'sources.user.body.a'",
        "path: '/x', for_each: 'sources.broken.body'",
        "path: '/x', when: 'sources.broken.body.x == 1'",
        // What would climb, or leave a segment out, is not what was asked for.
        "path: '/x/{sources.user.body.up}/y'",
        "path: '/x/{sources.user.body.none}/y'",
    ] {
        let broken = failing();
        let gateway = Gateway::start(
            &[&user, &broken, &echo],
            &partial(&format!(
                "user:   {{ upstream: ORIGIN1, path: / }}
                 broken: {{ upstream: ORIGIN2, path: / }}
                 off:    {{ upstream: ORIGIN2, path: /off, when: 'false' }}
                 it:     {{ upstream: ORIGIN3, {needs} }}"
            )),
        );
        let answer = gateway.get("/home/7");
        assert_eq!(answer.status, 200, "{needs}: {}", answer.text());
        assert_eq!(told_words(&answer), "user=ok broken=status off=skipped it=dependency", "{needs}");
        assert_eq!(
            answer.json()["_errors"]["it"],
            json!({ "error": "dependency", "status": 502 }),
            "{needs}"
        );
    }
    assert_eq!(echo.count(), 0, "none of them was called");
}

#[test]
fn a_dependency_fails_a_call_in_mode_all_and_a_required_one() {
    let (user, echo) = (json_origin(r#"{"a":1}"#), target_origin());
    for (mode, required) in [("all", ""), ("partial", ", required: true")] {
        let config = partial(&format!(
            "user: {{ upstream: ORIGIN1, path: / }}
             tips: {{ upstream: ORIGIN2, path: '/{{sources.user.body.b}}'{required} }}"
        ));
        let gateway =
            Gateway::start(&[&user, &echo], &config.replace("mode: partial", &format!("mode: {mode}")));
        let answer = gateway.get("/home/7");
        assert_eq!(answer.problem(502), "upstream failure", "{mode}");
        assert_eq!(answer.json()["detail"], "tips: dependency", "{mode}");
    }
}

#[test]
fn a_parameter_that_changes_the_path_is_the_clients_fault() {
    let origins = [json_origin("1"), target_origin()];
    let gateway = Gateway::start(
        &[&origins[0], &origins[1]],
        &partial(
            "user: { upstream: ORIGIN1, path: / }
             it:   { upstream: ORIGIN2, path: '/x/{request.query.segment}/y', fallback: 1 }",
        ),
    );
    for segment in ["..", "%2e%2e", ".", ""] {
        let answer = gateway.get(&format!("/home/7?segment={segment}"));
        assert_eq!(answer.problem(400), "malformed request", "{segment:?}");
    }
    assert_eq!(origins[1].count(), 0);
    assert_eq!(gateway.get("/home/7?segment=a%3Fb%23%25c").json()["it"], "/x/a%3Fb%23%25c/y");
}

#[test]
fn a_source_that_is_not_wanted_is_absent_and_has_not_failed() {
    let (user, tips) = (json_origin("1"), json_origin("2"));
    let config = partial(
        r#"user: { upstream: ORIGIN1, path: / }
           tips: { upstream: ORIGIN2, path: /, when: 'request.headers["x-tips"] == "1"' }"#,
    );
    let all = config.replace("mode: partial", "mode: all");
    for (config, partial) in [(&config, true), (&all, false)] {
        let gateway = Gateway::start(&[&user, &tips], config);
        for (header, text, words) in [
            (Some("1"), r#"{"user":1,"tips":2}"#, "user=ok tips=ok"),
            (Some("0"), r#"{"user":1}"#, "user=ok tips=skipped"),
            // It cannot be judged: nobody wants it.
            (None, r#"{"user":1}"#, "user=ok tips=skipped"),
        ] {
            let headers: Vec<(&str, &str)> = header.map(|value| ("X-Tips", value)).into_iter().collect();
            let answer = gateway.request("GET", "/home/7", &headers, b"");
            assert_eq!((answer.status, answer.text().as_str()), (200, text), "{header:?}");
            assert!(!answer.headers.has("cache-control"), "{header:?}");
            if partial {
                assert_eq!(told_words(&answer), words, "{header:?}");
            }
        }
    }
    assert_eq!(tips.count(), 2);
}

#[test]
fn a_condition_may_read_what_others_said() {
    let user = Origin::serve(|turn| {
        let gold = turn.request().target() == "/gold";
        turn.answer(200, &[JSON], if gold { r#"{"tier":"gold"}"# } else { r#"{"tier":"tin"}"# });
    });
    let (tips, echo) = (json_origin("2"), target_origin());
    let gateway = Gateway::start(
        &[&user, &tips, &echo],
        &partial(
            r#"user: { upstream: ORIGIN1, path: '/{id}' }
               tips: { upstream: ORIGIN2, path: /, when: 'sources.user.body.tier == "gold"' }
               more: { upstream: ORIGIN3, path: '/{sources.tips.body}' }"#,
        ),
    );
    is(
        &gateway.get("/home/gold"),
        r#"{"user":{"tier":"gold"},"tips":2,"more":"/2"}"#,
        "user=ok tips=ok more=ok",
    );
    // Who needs what was skipped has nothing to read.
    is(
        &gateway.get("/home/tin"),
        r#"{"user":{"tier":"tin"},"more":null,"_errors":{"more":{"error":"dependency","status":502}}}"#,
        "user=ok tips=skipped more=dependency",
    );
}

#[test]
fn skipped_sources_are_neither_ok_nor_failed() {
    let (late, bad) = (Origin::serve(Turn::wait_closed), failing());
    let off = "off: { upstream: ORIGIN1, path: /, when: 'false' }";
    let late_one = "late: { upstream: ORIGIN1, path: /, timeout: 100ms }";
    let bad_one = "bad: { upstream: ORIGIN2, path: / }";
    let ask = |sources: &[&str]| Gateway::start(&[&late, &bad], &partial(&sources.join("\n"))).get("/home/7");
    is(&ask(&[off]), "{}", "off=skipped");
    let answer = ask(&[off, late_one]);
    assert_eq!(answer.problem(504), "upstream timeout");
    assert_eq!(told_words(&answer), "off=skipped late=timeout");
    let answer = ask(&[bad_one, off]);
    assert_eq!(answer.problem(502), "upstream failure");
    assert_eq!(told_words(&answer), "bad=status off=skipped");
}

/// A source that is called for each of a list, and the body of the list.
fn each(list: &str, options: &str, each: impl Fn(&mut Turn) + Send + Sync + 'static) -> (Answer, Origin) {
    let (items, each) = (json_origin(list), Origin::serve(each));
    let gateway = Gateway::start(
        &[&items, &each],
        &partial(&format!(
            "list: {{ upstream: ORIGIN1, path: / }}
             each: {{ upstream: ORIGIN2, path: '/{{item.id}}', for_each: 'sources.list.body'{options} }}"
        )),
    );
    (gateway.get("/home/7"), each)
}

fn list(length: usize) -> String {
    let items: Vec<String> = (1..=length).map(|id| format!("{{\"id\":{id}}}")).collect();
    format!("[{}]", items.join(","))
}

fn id(turn: &Turn) -> usize {
    turn.request().target()[1..].parse().unwrap()
}

#[test]
fn a_list_is_called_item_by_item_in_its_order_within_its_bound() {
    for (options, bound) in
        [("", 5), (", concurrency: 2", 2), (", concurrency: 1", 1), (", concurrency: 12", 12)]
    {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (gate, count) = (Gate::new(), Arc::clone(&most));
        let (answer, each) = each(&list(12), options, move |turn| {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            if count.fetch_max(now, Ordering::SeqCst) < now && now == bound {
                // The bound is reached: those that wait for it may go on.
                gate.open();
            }
            turn.wait(&gate);
            running.fetch_sub(1, Ordering::SeqCst);
            let id = id(turn);
            // Some are empty, and each has its own digits.
            if id == 3 { turn.answer(204, &[], "") } else { turn.answer(200, &[JSON], format!("{id}.10")) }
        });
        let bodies: Vec<String> =
            (1..=12).map(|id| if id == 3 { "null".to_owned() } else { format!("{id}.10") }).collect();
        assert_eq!(answer.text(), format!(r#"{{"list":{},"each":[{}]}}"#, list(12), bodies.join(",")));
        assert_eq!(told_words(&answer), "list=ok each=ok");
        assert_eq!((most.load(Ordering::SeqCst), each.count()), (bound, 12), "{options}");
    }
}

#[test]
fn a_list_in_whatever_order_its_items_answer_is_in_its_own() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let gates: Arc<[Gate; 3]> = Arc::default();
        let doors = Arc::clone(&gates);
        let items = json_origin(&list(3));
        let each = Origin::serve(move |turn| {
            let id = id(turn);
            turn.wait(&doors[id - 1]);
            turn.answer(200, &[JSON, ("Connection", "close")], id.to_string());
            turn.wait_closed();
        });
        let gateway = Gateway::start(
            &[&items, &each],
            &partial(
                "list: { upstream: ORIGIN1, path: / }
                 each: { upstream: ORIGIN2, path: '/{item.id}', for_each: 'sources.list.body' }",
            ),
        );
        let mut client = gateway.client();
        client.send("GET /home/7 HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        each.wait_count(3);
        for id in order {
            gates[id - 1].open();
            let seen = each.requests();
            let seen = seen.iter().find(|seen| seen.target() == format!("/{id}")).unwrap();
            each.wait_closed(seen.connection);
        }
        assert_eq!(client.read().json()["each"], json!([1, 2, 3]), "{order:?}");
    }
}

#[test]
fn a_list_has_bounds() {
    let fine = |turn: &mut Turn| turn.answer(200, &[JSON], "1");
    let failed = |answer: &Answer, word: &str, status: u16, what: &str| {
        assert_eq!(told_words(answer), format!("list=ok each={word}"), "{what}");
        assert_eq!(answer.json()["_errors"]["each"], json!({ "error": word, "status": status }), "{what}");
        assert_eq!(answer.json()["each"], json!(null), "{what}");
    };
    for (length, options) in [(20, ""), (0, ""), (3, ", max_items: 3"), (30, ", max_items: 30")] {
        let (answer, origin) = each(&list(length), options, fine);
        assert_eq!(answer.json()["each"], json!(vec![1; length]), "{length}");
        assert_eq!((told_words(&answer).as_str(), origin.count()), ("list=ok each=ok", length));
    }
    for (length, options) in [(21, ""), (4, ", max_items: 3")] {
        let (answer, origin) = each(&list(length), options, fine);
        failed(&answer, "too_large", 502, options);
        assert_eq!(origin.count(), 0, "it fails before any is called");
    }
    for no_list in ["{\"a\":1}", "1", "\"abc\"", "null"] {
        failed(&each(no_list, "", fine).0, "dependency", 502, no_list);
    }
    failed(&each("[{\"id\":1},{}]", "", fine).0, "dependency", 502, "an item without an id");
    // Its time and its bytes are those of the whole list.
    let (answer, origin) = each(&list(3), ", timeout: 500ms, concurrency: 1", |turn| match id(turn) {
        3 => turn.wait_closed(),
        _ => turn.answer(200, &[JSON], "1"),
    });
    failed(&answer, "timeout", 504, "the last is late");
    assert_eq!(origin.count(), 3);
    let forty = |turn: &mut Turn| turn.answer(200, &[JSON], format!("\"{}\"", "a".repeat(38)));
    failed(&each(&list(3), ", max_body: 100B", forty).0, "too_large", 502, "120 bytes");
    assert_eq!(told_words(&each(&list(2), ", max_body: 100B", forty).0), "list=ok each=ok");
}

#[test]
fn one_item_that_fails_ends_the_others_and_fails_the_list() {
    let gate = Gate::new();
    let held = gate.clone();
    let items = json_origin(&list(8));
    let origin = Origin::serve(move |turn| match id(turn) {
        2 => {
            turn.wait(&held);
            turn.answer(404, &[JSON], "{}");
        }
        _ => turn.wait_closed(),
    });
    let gateway = Gateway::start(
        &[&items, &origin],
        &partial(
            "list: { upstream: ORIGIN1, path: / }
             each: { upstream: ORIGIN2, path: '/{item.id}', for_each: 'sources.list.body', concurrency: 3, fallback: [] }",
        ),
    );
    let mut client = gateway.client();
    client.send("GET /home/7 HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(3);
    gate.open();
    let answer = client.read();
    assert_eq!(answer.json()["_errors"]["each"], json!({ "error": "status", "status": 404 }));
    assert_eq!((told_words(&answer).as_str(), &answer.json()["each"]), ("list=ok each=status", &json!([])));
    for seen in origin.requests().iter().filter(|seen| seen.target() != "/2") {
        origin.wait_closed(seen.connection);
    }
    assert_eq!(origin.count(), 3, "the rest of the list is not called");
}

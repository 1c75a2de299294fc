//! The answer is the same whatever the order of arrival: three sources, each of them fine or failed, in all six orders.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::support::parts::{JSON, told_words};
use crate::support::{Answer, Gate, Gateway, Origin, Turn};

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

const NAMES: [&str; 3] = ["user", "orders", "tips"];

/// Three sources that all answer only once the test lets them: `/CALL/what each does`.
const CONFIG: &str = "
    routes:
      /partial/{call}/{a}/{b}/{c}:
        aggregate:
          mode: partial
          sources:
            user:   { upstream: ORIGIN1, path: '/{call}/{a}' }
            orders: { upstream: ORIGIN2, path: '/{call}/{b}', fallback: [] }
            tips:   { upstream: ORIGIN3, path: '/{call}/{c}' }
      /all/{call}/{a}/{b}/{c}:
        aggregate:
          sources:
            user:   { upstream: ORIGIN1, path: '/{call}/{a}' }
            orders: { upstream: ORIGIN2, path: '/{call}/{b}' }
            tips:   { upstream: ORIGIN3, path: '/{call}/{c}' }
      /merged/{call}/{a}/{b}/{c}:
        aggregate:
          mode: partial
          sources:
            user:   { upstream: ORIGIN1, path: '/{call}/{a}', merge: true, expose: [x-which, set-cookie] }
            orders: { upstream: ORIGIN2, path: '/{call}/{b}', merge: true, expose: [x-which, set-cookie] }
            tips:   { upstream: ORIGIN3, path: '/{call}/{c}', expose: [set-cookie, x-which] }
    ";

/// Doors of all calls, by call and source.
type Doors = Arc<Mutex<HashMap<(String, usize), Gate>>>;

fn door(doors: &Doors, call: &str, at: usize) -> Gate {
    doors.lock().unwrap().entry((call.to_owned(), at)).or_default().clone()
}

struct House {
    origins: [Origin; 3],
    gateway: Gateway,
    doors: Doors,
    calls: usize,
}

impl House {
    fn new() -> Self {
        let doors = Doors::default();
        let origins = [0, 1, 2].map(|at| {
            let doors = Arc::clone(&doors);
            Origin::serve(move |turn| answer(turn, at, &doors))
        });
        let gateway = Gateway::start(&origins.each_ref(), CONFIG);
        Self { origins, gateway, doors, calls: 0 }
    }

    /// One call whose sources answer in that order, each only once the one before has been read to its end.
    fn call(&mut self, route: &str, words: [&str; 3], order: [usize; 3]) -> Answer {
        let call = self.calls;
        self.calls += 1;
        let [a, b, c] = words;
        let mut client = self.gateway.client();
        client.send(format!("GET /{route}/{call}/{a}/{b}/{c} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
        // They start at once: all three are asked before any has answered.
        self.origins.iter().for_each(|origin| origin.wait_count(call + 1));
        for at in order {
            door(&self.doors, &call.to_string(), at).open();
            // Read to its end, or given up: its connection is of no use any more.
            self.origins[at].wait_closed(call);
        }
        client.read()
    }
}

fn answer(turn: &mut Turn, at: usize, doors: &Doors) {
    let target = turn.request().target().to_owned();
    let (call, word) = target[1..].split_once('/').unwrap();
    turn.wait(&door(doors, call, at));
    let name = NAMES[at];
    let cookie = format!("c{at}={name}");
    let headers = [JSON, ("Connection", "close"), ("X-Which", name), ("Set-Cookie", cookie.as_str())];
    let body = format!(r#"{{ "{name}s": {at}, "collection":["{name}"]}}"#);
    turn.answer(if word == "ok" { 200 } else { 500 }, &headers, body);
    turn.wait_closed();
}

/// All eight outcomes of three sources.
fn outcomes() -> impl Iterator<Item = [&'static str; 3]> {
    (0..8).map(|bits| [0, 1, 2].map(|at| if bits >> at & 1 == 0 { "ok" } else { "failed" }))
}

#[test]
fn a_partial_answer_is_the_same_for_every_order_of_arrival() {
    let mut house = House::new();
    for words in outcomes() {
        let answers = ORDERS.map(|order| house.call("partial", words, order));
        let fine: Vec<bool> = words.iter().map(|word| *word == "ok").collect();
        let part = |at: usize| match (fine[at], at) {
            (true, _) => format!(r#"{{ "{0}s": {at}, "collection":["{0}"]}}"#, NAMES[at]),
            (false, 1) => "[]".to_owned(),
            (false, _) => "null".to_owned(),
        };
        let parts = [0, 1, 2].map(|at| format!(r#""{}":{}"#, NAMES[at], part(at))).join(",");
        let errors: Vec<String> = (0..3)
            .filter(|at| !fine[*at])
            .map(|at| format!(r#""{}":{{"error":"status","status":500}}"#, NAMES[at]))
            .collect();
        let errors =
            if errors.is_empty() { String::new() } else { format!(r#","_errors":{{{}}}"#, errors.join(",")) };
        let expected = format!("{{{parts}{errors}}}");
        let told = [0, 1, 2].map(|at| format!("{}={}", NAMES[at], if fine[at] { "ok" } else { "status" }));
        for (order, answer) in ORDERS.iter().zip(&answers) {
            assert_eq!(told_words(answer), told.join(" "), "{words:?} {order:?}");
            if fine.contains(&true) {
                assert_eq!((answer.status, answer.text()), (200, expected.clone()), "{words:?} {order:?}");
            } else {
                assert_eq!(answer.problem(502), "upstream failure", "{words:?} {order:?}");
                assert_eq!(answer.json()["detail"], answers[0].json()["detail"], "{words:?} {order:?}");
            }
        }
    }
}

#[test]
fn in_mode_all_the_first_in_time_that_fails_is_told() {
    let mut house = House::new();
    for words in outcomes() {
        for order in ORDERS {
            let answer = house.call("all", words, order);
            let first = order.iter().find(|at| words[**at] == "failed");
            let Some(first) = first else {
                let members = [0, 1, 2]
                    .map(|at| format!(r#""{0}":{{ "{0}s": {at}, "collection":["{0}"]}}"#, NAMES[at]));
                let expected = format!("{{{}}}", members.join(","));
                assert_eq!((answer.status, answer.text()), (200, expected), "{order:?}");
                continue;
            };
            assert_eq!(answer.problem(502), "upstream failure", "{words:?} {order:?}");
            let detail = format!("{}: status", NAMES[*first]);
            assert_eq!(answer.json()["detail"], detail, "{words:?} {order:?}");
        }
    }
}

#[test]
fn members_that_clash_and_headers_are_settled_by_the_order_written() {
    // s-072
    let mut house = House::new();
    for order in ORDERS {
        let answer = house.call("merged", ["ok"; 3], order);
        assert_eq!(
            answer.text().replace(' ', ""),
            r#"{"users":0,"collection":["user"],"orderss":1,"tips":{"tipss":2,"collection":["tips"]}}"#,
            "{order:?}"
        );
        assert_eq!(answer.header("x-which"), Some("user"), "{order:?}");
        assert_eq!(answer.headers.all("set-cookie"), ["c0=user", "c1=orders", "c2=tips"], "{order:?}");
    }
    for order in ORDERS {
        let answer = house.call("merged", ["failed", "ok", "ok"], order);
        let parts = r#""orderss":1,"collection":["orders"],"tips":{"tipss":2,"collection":["tips"]}"#;
        let errors = r#""_errors":{"user":{"error":"status","status":500}}"#;
        assert_eq!(answer.text().replace(' ', ""), format!("{{{parts},{errors}}}"), "{order:?}");
    }
}

//! Nobody works for a client that has left, and a service in trouble is its own trouble alone.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::load::{Hits, Load};
use crate::support::parts::{JSON, json_origin, told_words};
use crate::support::relay::{Relay, Wire};
use crate::support::{Client, Gate, Gateway, Origin, Turn, h2, until};

/// Every way of calling a source: alone, needed by another, for each of a list, with a body, in mode all and as required.
const HOUSE: &str = "
    routes:
      /all:
        aggregate: { sources: { a: { upstream: ORIGIN1, path: /a }, b: { upstream: ORIGIN1, path: /b, method: POST, body: [1] } } }
      /partial:
        aggregate:
          mode: partial
          sources:
            a:    { upstream: ORIGIN1, path: /a, required: true }
            b:    { upstream: ORIGIN1, path: /b, fallback: [] }
            tips: { upstream: ORIGIN2, path: '/{sources.a.body.x}' }
            more: { upstream: ORIGIN2, path: '/more', for_each: 'sources.b.body' }
      /each:
        aggregate:
          mode: partial
          sources:
            list: { upstream: ORIGIN3, path: /list }
            each: { upstream: ORIGIN1, path: '/{item}', for_each: 'sources.list.body', concurrency: 3, fallback: [] }
            tips: { upstream: ORIGIN2, path: '/{sources.each.body[0]}' }
      /shaped:
        policies: { shape: { keep: [a.id] } }
        aggregate: { sources: { a: { upstream: ORIGIN1, path: /a, merge: true }, b: { upstream: ORIGIN1, path: /b } }, shape: { body: 'response.body' } }
    ";

/// One that never ends its answers, one that is never to be called, and one with a list.
struct House {
    endless: Origin,
    never: Origin,
    list: Origin,
    gateway: Gateway,
}

fn house() -> House {
    let endless = Origin::serve(|turn| {
        turn.read_body();
        // Half of them have begun.
        if turn.number() % 2 == 0 {
            turn.chunked(200, &[JSON]);
            turn.chunk("[1");
        }
        turn.wait_closed();
    });
    let (never, list) = (json_origin("1"), json_origin("[1,2,3,4,5,6,7,8]"));
    let gateway = Gateway::start(&[&endless, &never, &list], HOUSE);
    House { endless, never, list, gateway }
}

/// How many calls of a route run at a time.
const RUNNING: [(&str, usize); 4] = [("/all", 2), ("/partial", 2), ("/each", 3), ("/shaped", 2)];

fn leave(client: Client, way: usize) {
    match way % 3 {
        0 => drop(client),
        1 => socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).unwrap(),
        _ => client.stream().shutdown(Shutdown::Both).unwrap(),
    }
}

impl House {
    /// Every call has ended, and none was called that waited.
    #[track_caller]
    fn is_quiet(&self, calls: usize, clients: usize) {
        for connection in 0..calls {
            self.endless.wait_closed(connection);
        }
        let lines = self.gateway.log(clients);
        for line in &lines {
            assert_eq!((&line["status"], &line["error"]), (&json!(499), &json!("client closed")), "{line}");
        }
        let counts = (lines.len(), self.endless.count(), self.endless.connections(), self.never.count());
        assert_eq!(counts, (clients, calls, calls, 0));
    }
}

#[test]
fn a_client_that_leaves_ends_all_that_runs_and_nothing_begins_after_it() {
    for (route, running) in RUNNING {
        for way in 0..3 {
            let house = house();
            let mut client = house.gateway.client();
            client.send(format!("GET {route} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
            house.endless.wait_count(running);
            leave(client, way);
            house.is_quiet(running, 1);
        }
    }
}

#[test]
fn a_stream_that_is_cancelled_ends_all_that_runs() {
    for (route, running) in RUNNING {
        let house = house();
        let mut raw = h2::Frames::connect(house.gateway.address());
        assert!(raw.send(1, 0b101, 1, &h2::Frames::get_block(route)));
        house.endless.wait_count(running);
        // RST_STREAM with CANCEL; the connection stays.
        assert!(raw.send(3, 0, 1, &8_u32.to_be_bytes()));
        house.is_quiet(running, 1);
        assert!(raw.send(6, 0, 0, &[0; 8]), "the connection is as it was");
    }
}

#[test]
fn a_crowd_that_leaves_ends_everything() {
    let house = house();
    let crowd: Vec<(usize, Client)> = (0..60)
        .map(|number| {
            let mut client = house.gateway.client();
            let (route, running) = RUNNING[number % 4];
            client.send(format!("GET {route} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
            (running, client)
        })
        .collect();
    let calls = crowd.iter().map(|(running, _)| running).sum();
    house.endless.wait_count(calls);
    crowd.into_iter().enumerate().for_each(|(number, (_, client))| leave(client, number));
    house.is_quiet(calls, 60);
    assert_eq!(house.list.count(), 15);
}

#[test]
fn a_client_that_leaves_between_two_sources_ends_what_would_follow() {
    let (gate, never) = (Gate::new(), json_origin("1"));
    let held = gate.clone();
    let first = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.answer(200, &[JSON, ("Connection", "close")], "{\"x\":1}");
        turn.wait_closed();
    });
    let gateway = Gateway::start(
        &[&first, &never],
        "
        routes:
          /: { aggregate: { sources: { a: { upstream: ORIGIN1, path: / }, b: { upstream: ORIGIN2, path: '/{sources.a.body.x}' } } } }
        ",
    );
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    first.wait_count(1);
    drop(client);
    assert_eq!(gateway.log(1)[0]["status"], 499);
    gate.open();
    first.wait_closed(0);
    assert_eq!(never.count(), 0);
}

/// What is wrong with a service.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Trouble {
    None,
    Drips,
    DripsItsHead,
    Resets,
    Breaks,
    Floods,
    Fails,
    Hangs,
}

fn troubled(turn: &mut Turn, trouble: u8) {
    let drip = |turn: &mut Turn| {
        for _ in 0..200 {
            turn.raw("1\r\n \r\n");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        turn.wait_closed();
    };
    turn.read_body();
    match trouble {
        t if t == Trouble::Drips as u8 => {
            turn.chunked(200, &[JSON]);
            drip(turn);
        }
        t if t == Trouble::DripsItsHead as u8 => {
            turn.raw("HTTP/1.1 200 OK\r\nX-Long: ");
            for _ in 0..200 {
                turn.raw("x");
                std::thread::park_timeout(Duration::from_millis(10));
            }
            turn.wait_closed();
        }
        t if t == Trouble::Resets as u8 => turn.reset(),
        t if t == Trouble::Breaks as u8 => {
            turn.raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[");
            turn.close();
        }
        t if t == Trouble::Floods as u8 => {
            turn.chunked(200, &[JSON]);
            (0..64).for_each(|_| turn.chunk(vec![b' '; 64 * 1024]));
            turn.wait_closed();
        }
        t if t == Trouble::Fails as u8 => turn.answer(500, &[JSON], "{}"),
        t if t == Trouble::Hangs as u8 => turn.wait_closed(),
        _ => turn.answer(200, &[JSON], "[1.10]"),
    }
}

/// A service in trouble behind `orders`, and others beside it.
fn beside(orders: &str) -> String {
    format!(
        "
        upstreams:
          orders: {{ url: '{orders}', breaker: {{ consecutive: 1000000, min_requests: 1000000 }} }}
        routes:
          /home:
            aggregate:
              mode: partial
              sources:
                user:   {{ upstream: ORIGIN1, path: /user }}
                orders: {{ upstream: orders, path: /orders, timeout: 300ms, fallback: [] }}
                tips:   {{ upstream: ORIGIN1, path: '/tips/{{sources.user.body.id}}' }}
          /strict:
            aggregate:
              sources: {{ user: {{ upstream: ORIGIN1, path: /user }}, orders: {{ upstream: orders, path: /orders, timeout: 300ms }} }}
          /plain: {{ upstream: ORIGIN1 }}
          /other: {{ aggregate: {{ sources: {{ user: {{ upstream: ORIGIN1, path: /user }} }} }} }}
        "
    )
}

/// What the sources are, whole and with trouble.
#[track_caller]
fn comes_to(gateway: &Gateway, word: &str) {
    let expected = format!("user=ok orders={word} tips=ok");
    until(&format!("{expected} from /home"), || {
        let answer = gateway.get("/home");
        assert_eq!(answer.status, 200, "{}", answer.text());
        told_words(&answer) == expected
    });
    let strict = gateway.get("/strict");
    match word {
        "ok" => assert_eq!(strict.status, 200),
        "timeout" => assert_eq!(strict.problem(504), "upstream timeout"),
        _ => assert_eq!(strict.problem(502), "upstream failure"),
    }
}

/// Loads on the troubled route and on the others, which go on through all that `phases` does.
fn under_load(gateway: &Gateway, phases: impl FnOnce(&Load)) {
    let fleet = std::slice::from_ref(gateway);
    let (home, others) = (Load::start(fleet, 4, &["/home"]), Load::start(fleet, 2, &["/plain", "/other"]));
    phases(&others);
    let stopped: [Hits; 2] = [others.stop(), home.stop()];
    stopped.iter().for_each(|hits| assert!(!hits.only(&[200]).all.is_empty()));
    assert!(gateway.peak_memory() < 100, "{} MiB", gateway.peak_memory());
}

/// Both other routes go on being answered from here.
#[track_caller]
fn others_go_on(load: &Load, rounds: &mut usize) {
    *rounds += 1;
    load.admits(0, *rounds * 20).admits(1, *rounds * 20);
}

#[test]
fn a_service_in_trouble_is_its_own_trouble_under_load() {
    let trouble = Arc::new(AtomicU8::new(Trouble::None as u8));
    let now = Arc::clone(&trouble);
    let (user, orders) =
        (json_origin(r#"{"id":1}"#), Origin::serve(move |turn| troubled(turn, now.load(Ordering::SeqCst))));
    let gateway = Gateway::start(&[&user], &beside(&orders.url()));
    under_load(&gateway, |others| {
        let mut rounds = 0;
        comes_to(&gateway, "ok");
        for (kind, word) in [
            (Trouble::Drips, "timeout"),
            (Trouble::DripsItsHead, "timeout"),
            (Trouble::Resets, "reset"),
            (Trouble::Breaks, "reset"),
            (Trouble::Floods, "too_large"),
            (Trouble::Fails, "status"),
            (Trouble::Hangs, "timeout"),
            (Trouble::None, "ok"),
        ] {
            trouble.store(kind as u8, Ordering::SeqCst);
            comes_to(&gateway, word);
            others_go_on(others, &mut rounds);
        }
    });
}

#[test]
fn a_service_that_is_stopped_or_killed_is_missed_by_nobody_else() {
    // A real process, so that its kernel goes on taking connections while it stands still.
    let service = Gateway::start(&[], "routes: { /*: { respond: { body: [1.10] } } }");
    let user = json_origin(r#"{"id":1}"#);
    let gateway = Gateway::start(&[&user], &beside(&format!("http://{}", service.address())));
    under_load(&gateway, |others| {
        let mut rounds = 0;
        comes_to(&gateway, "ok");
        for (signal, word) in [("STOP", "timeout"), ("CONT", "ok"), ("KILL", "refused")] {
            service.signal(signal);
            comes_to(&gateway, word);
            others_go_on(others, &mut rounds);
        }
    });
}

#[test]
fn a_wire_that_is_cut_is_mended_under_load() {
    let (user, orders) = (json_origin(r#"{"id":1}"#), json_origin("[1.10]"));
    let relay = Relay::to(orders.address());
    let gateway = Gateway::start(&[&user], &beside(&format!("http://{}", relay.address())));
    under_load(&gateway, |others| {
        let mut rounds = 0;
        comes_to(&gateway, "ok");
        for (wire, word) in
            [(Wire::Silent, "timeout"), (Wire::Pass, "ok"), (Wire::Refuse, "reset"), (Wire::Pass, "ok")]
        {
            relay.set(wire);
            comes_to(&gateway, word);
            others_go_on(others, &mut rounds);
        }
    });
}

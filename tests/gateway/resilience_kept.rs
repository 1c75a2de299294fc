//! What a reload keeps of a service, how each endpoint is called, and the agreed configuration as it stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::support::{Client, Closed, Gate, Gateway, Origin, until};

#[track_caller]
fn reload(gateway: &Gateway) {
    let answer = Client::connect(gateway.admin()).request("POST", "/reload", &[("Host", "localhost")], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn config(open: &str, word: &str) -> String {
    format!(
        "
        admin: {{ listen: 127.0.0.1:0 }}
        upstreams:
          sick: {{ url: ORIGIN1, breaker: {{ consecutive: 2, open: {open}, ratio: 100%, min_requests: 1000 }} }}
          well: {{ url: ORIGIN2 }}
        routes:
          /sick: {{ upstream: sick }}
          /well: {{ upstream: well }}
          /version: {{ respond: {{ status: 200, body: {word} }} }}
        "
    )
}

#[test]
fn a_reload_keeps_connections_and_breaker_of_what_is_unchanged() {
    let (sick, well) = (Origin::serve(|turn| turn.answer(503, &[], "no")), Origin::echo());
    let gateway = Gateway::start(&[&sick, &well], &config("1h", "one"));
    let mut client = gateway.client();
    for _ in 0..2 {
        assert_eq!(client.get("/sick").text(), "no");
    }
    assert_eq!(client.get("/sick").problem(503), "breaker open");
    assert_eq!(client.get("/well").status, 200);
    gateway.replace_config(&config("1h", "two"));
    reload(&gateway);
    until("the new one is in use", || client.get("/version").text() == "two");
    assert_eq!(client.get("/sick").problem(503), "breaker open", "it is still open");
    assert_eq!(client.get("/well").status, 200);
    assert_eq!((sick.count(), well.connections()), (2, 1));
    // A breaker whose own settings are changed begins anew; its neighbour does not.
    gateway.replace_config(&config("2h", "three"));
    reload(&gateway);
    until("the newest is in use", || client.get("/version").text() == "three");
    assert_eq!(client.get("/sick").text(), "no");
    assert_eq!(client.get("/well").status, 200);
    assert_eq!((sick.count(), well.connections()), (3, 1));
}

#[test]
fn a_comment_keeps_an_open_breaker_open() {
    let sick = Origin::serve(|turn| turn.answer(503, &[], "no"));
    let config = |comment: &str, key: &str, open: &str| {
        format!(
            "
            admin: {{ listen: 127.0.0.1:0 }}
            upstreams:
              {comment}
              sick:
                url: ORIGIN1
                balance: {{ consistent_hash: {key} }}
                retry: {{ unsafe: {key} == 'x', attempts: 1 }}
                breaker: {{ consecutive: 1, open: {open} }}
            routes:
              /sick: {{ upstream: sick }}
            "
        )
    };
    let gateway = Gateway::start(&[&sick], &config("# one", "request.path", "1h"));
    assert_eq!(gateway.get("/sick").text(), "no");
    assert_eq!(gateway.get("/sick").problem(503), "breaker open");
    for (comment, key, open) in [
        ("# a\n              # b\n", "request.path", "1h"),
        ("# c", "request.path", "60m"),
        ("", "request.path", "3600s"),
    ] {
        gateway.replace_config(&config(comment, key, open));
        reload(&gateway);
        assert_eq!(gateway.get("/sick").problem(503), "breaker open", "{comment:?}");
    }
    assert_eq!(sick.count(), 1);
}

/// Two endpoints with these weights.
fn two(first: u32, words: &str) -> String {
    format!(
        "
        admin: {{ listen: 127.0.0.1:0 }}
        upstreams:
          two:
            endpoints: [{{ url: ORIGIN1, weight: {first} }}, ORIGIN2]
            balance: round_robin
            retry: {{ attempts: 1 }}
            breaker: {{ consecutive: 100000, ratio: 100%, min_requests: 100000 }}
            {words}
        routes: {{ /x: {{ upstream: two }} }}
        "
    )
}

#[test]
fn another_weight_keeps_an_endpoint_ejected_and_connections_open() {
    let (sick, well) = (Origin::serve(|turn| turn.answer(500, &[], "no")), Origin::echo());
    let outliers = "outliers: { consecutive: 1, eject: 1h, max_ejected: 50% }";
    let gateway = Gateway::start(&[&sick, &well], &two(1, outliers));
    let mut client = gateway.client();
    until("it is ejected", || client.get("/x").status == 500);
    assert_eq!(client.get("/x").status, 200);
    for weight in 2..6 {
        gateway.replace_config(&two(
            weight,
            &format!("{outliers}\n            timeouts: {{ response: {weight}s }}"),
        ));
        reload(&gateway);
        for _ in 0..10 {
            assert_eq!(client.get("/x").status, 200);
        }
    }
    assert_eq!((sick.count(), well.connections()), (1, 1));
}

#[test]
fn another_weight_keeps_an_endpoint_unhealthy() {
    let sick = Origin::serve(|turn| match turn.request().target() {
        "/healthz" => turn.answer(503, &[], "no"),
        _ => turn.answer(200, &[], "sick"),
    });
    let well = Origin::serve(|turn| turn.answer(200, &[], "well"));
    let health = "health: { path: /healthz, every: 50ms, timeout: 5s, unhealthy: 3 }";
    let gateway = Gateway::start(&[&sick, &well], &two(1, health));
    let status = || {
        let mut admin = Client::connect(gateway.admin());
        let status = admin.request("GET", "/status", &[("Host", "localhost")], b"").json();
        let endpoint =
            |at: usize| status["upstreams"][0]["endpoints"][at]["health"].as_str().unwrap().to_owned();
        (endpoint(0), endpoint(1))
    };
    let wanted = ("unhealthy".to_owned(), "healthy".to_owned());
    until("both have been checked", || status() == wanted);
    for weight in 2..6 {
        // The second time the checks are other ones, and go on with what is known.
        let other = if weight > 3 { health.replace("50ms", "1h") } else { health.to_owned() };
        gateway.replace_config(&two(weight, &other));
        reload(&gateway);
        assert_eq!(status(), wanted);
        assert!((0..10).all(|_| gateway.get("/x").text() == "well"));
    }
    // Without checks nothing is known, and it gets its calls.
    gateway.replace_config(&two(1, ""));
    reload(&gateway);
    assert_eq!(status(), ("unknown".to_owned(), "unknown".to_owned()));
    until("it is called", || gateway.get("/x").text() == "sick");
}

#[test]
fn each_endpoint_is_called_by_its_own_name() {
    let origins = [Origin::echo(), Origin::echo()];
    let gateway = Gateway::start(
        &origins.each_ref(),
        "
        upstreams: { u: { endpoints: [ORIGIN1, ORIGIN2], balance: round_robin } }
        routes:
          /own: { upstream: u }
          /client: { upstream: u, host: client }
          /fixed: { upstream: u, host: service.internal }
        ",
    );
    let mut client = gateway.client();
    for (target, host) in [("/own", None), ("/client", Some("gw.test")), ("/fixed", Some("service.internal"))]
    {
        for _ in 0..6 {
            assert_eq!(client.get(target).status, 200);
        }
        for origin in &origins {
            let own = origin.address().to_string();
            let requests = origin.requests();
            let seen: Vec<_> = requests.iter().filter(|seen| seen.target() == target).collect();
            assert!(!seen.is_empty(), "{target}");
            for one in seen {
                assert_eq!(one.header("host"), Some(host.unwrap_or(&own)), "{target}");
            }
        }
    }
}

#[test]
fn a_repeat_is_called_by_the_name_of_its_endpoint() {
    let (closed, origin) = (Closed::new(), Origin::echo());
    let gateway = Gateway::start(
        &[&origin],
        &format!(
            "
            upstreams: {{ u: {{ endpoints: [{}, ORIGIN1], balance: round_robin }} }}
            routes: {{ /x: {{ upstream: u }} }}
            ",
            closed.url()
        ),
    );
    let mut client = gateway.client();
    for _ in 0..6 {
        assert_eq!(client.get("/x").status, 200);
    }
    let own = origin.address().to_string();
    assert!(origin.requests().iter().all(|seen| seen.header("host") == Some(&own)));
}

/// The agreed configuration, with ports of this test.
const CONTRACT: &str = include_str!("resilience.yaml");

struct Contract {
    users: [Origin; 2],
    orders: Origin,
    /// Both services of `users`: whether they are well.
    well: [Arc<AtomicBool>; 2],
    slow: Arc<AtomicBool>,
    most: Arc<AtomicUsize>,
    gate: Gate,
    gateway: Gateway,
}

fn contract() -> Contract {
    let well = [Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true))];
    let user = |state: &Arc<AtomicBool>| {
        let state = Arc::clone(state);
        Origin::serve(move |turn| match (state.load(Ordering::SeqCst), turn.request().target()) {
            (true, "/healthz") => turn.answer(204, &[], ""),
            (true, _) => turn.echo(),
            (false, _) => turn.answer(503, &[], "not now"),
        })
    };
    let users = [user(&well[0]), user(&well[1])];
    let slow: Arc<AtomicBool> = Arc::default();
    let (inside, most): (Arc<AtomicUsize>, Arc<AtomicUsize>) = (Arc::default(), Arc::default());
    let gate = Gate::new();
    let (held, peak, hangs) = (gate.clone(), Arc::clone(&most), Arc::clone(&slow));
    let orders = Origin::serve(move |turn| {
        peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        if hangs.load(Ordering::SeqCst) {
            turn.wait(&held);
        }
        inside.fetch_sub(1, Ordering::SeqCst);
        turn.echo();
    });
    let port = |origin: &Origin| format!("127.0.0.1:{}", origin.address().port());
    let config = CONTRACT
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9901", "127.0.0.1:0")
        .replace("127.0.0.1:3001", &port(&users[0]))
        .replace("127.0.0.1:3011", &port(&users[1]))
        .replace("127.0.0.1:3002", &port(&orders));
    let gateway = Gateway::start(&[], &config);
    Contract { users, orders, well, slow, most, gate, gateway }
}

#[test]
fn the_agreed_configuration_repeats_at_the_other_endpoint() {
    let Contract { users, well, gateway, orders: _orders, .. } = contract();
    well[0].store(false, Ordering::SeqCst);
    let mut client = gateway.client();
    for number in 0..30 {
        let answer = client.get(&format!("/api/users/{number}"));
        assert_eq!(answer.status, 200, "{number}");
        assert_eq!(answer.json()["line"], format!("GET /{number} HTTP/1.1"));
    }
    // Three failures in a row and it is left out; a repeat was made for each of them.
    let calls = users[0].requests().iter().filter(|seen| seen.target() != "/healthz").count();
    assert!(calls <= 3, "{calls} calls to the sick one");
}

#[test]
fn the_agreed_configuration_bounds_a_slow_service() {
    let Contract { users: _users, orders, slow, most, gate, gateway, .. } = contract();
    slow.store(true, Ordering::SeqCst);
    let statuses: Vec<(u16, String)> = std::thread::scope(|scope| {
        let one = || {
            let answer = gateway.get("/api/orders/1");
            (answer.status, answer.problem(answer.status))
        };
        let calls: Vec<_> = (0..80).map(|_| scope.spawn(one)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let known = [(504, "upstream timeout"), (503, "overloaded"), (503, "breaker open")];
    assert!(
        statuses.iter().all(|(status, phrase)| known.contains(&(*status, phrase.as_str()))),
        "{statuses:?}"
    );
    assert!(most.load(Ordering::SeqCst) <= 50);
    // The neighbour has noticed nothing.
    assert_eq!(gateway.get("/api/users/1").status, 200);
    // Many more than five in a row: open for two seconds, and the service is spared.
    let before = orders.count();
    assert_eq!(gateway.get("/api/orders/1").problem(503), "breaker open");
    assert_eq!(orders.count(), before);
    slow.store(false, Ordering::SeqCst);
    gate.open();
    let healed = Instant::now();
    until("one probe closes it", || gateway.get("/api/orders/1").status == 200);
    assert_eq!(gateway.get("/api/orders/2").status, 200, "{:?}", healed.elapsed());
}

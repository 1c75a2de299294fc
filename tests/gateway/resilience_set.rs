//! Who of the endpoints gets a call: "Balance" and "Outliers" of docs/resilience.md.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Client, Gate, Gateway, Origin, until};

/// A breaker that stays out of the way, and nothing tried again.
const PLAIN: &str =
    "breaker: { consecutive: 100000, ratio: 100%, min_requests: 100000 }, retry: { attempts: 1 }";

/// A service that answers with its name, and the status which stands there.
fn named(name: usize) -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let said = Arc::clone(&status);
    let origin = Origin::serve(move |turn| turn.answer(said.load(Ordering::SeqCst), &[], name.to_string()));
    (origin, status)
}

fn gateway(origins: &[&Origin], weights: &[u32], words: &str) -> Gateway {
    let one = |(at, _): (usize, &&Origin)| {
        let weight = weights.get(at).copied().unwrap_or(1);
        format!("{{ url: ORIGIN{}, weight: {weight} }}", at + 1)
    };
    let endpoints: Vec<String> = origins.iter().enumerate().map(one).collect();
    Gateway::start(
        origins,
        &format!(
            "
            upstreams: {{ u: {{ endpoints: [{}], {PLAIN}, {words} }} }}
            routes: {{ /api/*: {{ upstream: u, rewrite: /, timeout: 1h }} }}
            ",
            endpoints.join(", ")
        ),
    )
}

/// How often each answered.
fn answers(client: &mut Client, calls: usize) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for number in 0..calls {
        *all.entry(client.get(&format!("/api/{number}")).text()).or_default() += 1;
    }
    all
}

fn counts(all: &BTreeMap<String, usize>, endpoints: usize) -> Vec<usize> {
    (0..endpoints).map(|name| all.get(&name.to_string()).copied().unwrap_or(0)).collect()
}

fn three() -> ([Origin; 3], [Arc<AtomicU16>; 3]) {
    let [(a, x), (b, y), (c, z)] = [named(0), named(1), named(2)];
    ([a, b, c], [x, y, z])
}

#[test]
fn round_robin_gives_each_its_weight_in_every_round() {
    for (weights, wanted) in [([1, 1, 1], [20, 20, 20]), ([1, 2, 3], [10, 20, 30])] {
        let (origins, _) = three();
        let gateway = gateway(&origins.each_ref(), &weights, "balance: round_robin");
        // One connection is one core's.
        let got = counts(&answers(&mut gateway.client(), 60), 3);
        let near = got.iter().zip(wanted).all(|(got, wanted)| got.abs_diff(wanted) <= 2);
        assert!(near, "{weights:?}: {got:?}");
    }
}

#[test]
fn chance_follows_the_weights() {
    for balance in ["random", "least_request"] {
        let (origins, _) = three();
        let gateway = gateway(&origins.each_ref(), &[1, 2, 3], &format!("balance: {balance}"));
        let got = counts(&answers(&mut gateway.client(), 600), 3);
        // Expected 100, 200, 300; far beyond ten standard deviations is no chance.
        let wanted = [100_usize, 200, 300];
        assert!(got.iter().zip(wanted).all(|(got, wanted)| got.abs_diff(wanted) < 95), "{balance}: {got:?}");
    }
}

#[test]
fn least_request_avoids_who_is_busy() {
    let gate = Gate::new();
    let held = gate.clone();
    let slow = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.answer(200, &[], "0");
    });
    let (quick, _) = named(1);
    let gateway = gateway(&[&slow, &quick], &[], "balance: least_request");
    // Calls that find the slow one stay there.
    let mut stuck = Vec::new();
    until("two calls are at the slow one", || {
        let mut client = gateway.client();
        client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        if !client.has_bytes(Duration::from_millis(100)) {
            stuck.push(client);
        }
        slow.count() >= 1
    });
    let before = slow.count();
    // It has a call under way and the other has none: of two drawn it is never the less busy.
    let got = answers(&mut gateway.client(), 100);
    assert_eq!((got.get("1"), slow.count()), (Some(&100), before));
    gate.open();
}

#[test]
fn a_key_stays_at_its_endpoint_and_few_move() {
    let (origins, states) = three();
    let gateway = gateway(
        &origins.each_ref(),
        &[],
        "balance: { consistent_hash: 'request.headers[\"x-key\"]' }, outliers: { consecutive: 1, eject: 1h, max_ejected: 50% }",
    );
    let mut client = gateway.client();
    let keys = 90;
    let homes = |client: &mut Client| -> Vec<String> {
        let key = |number| format!("user-{number}");
        (0..keys).map(|n| client.request("GET", "/api/x", &[("X-Key", &key(n))], b"").text()).collect()
    };
    let first = homes(&mut client);
    let share = |name: &str| first.iter().filter(|home| *home == name).count();
    assert!((0..3).all(|name| share(&name.to_string()) >= 10), "{first:?}");
    assert_eq!(homes(&mut gateway.client()), first, "on every core");
    // One goes: its keys move, all others stay.
    states[1].store(500, Ordering::SeqCst);
    let gone = first.iter().position(|home| home == "1").unwrap();
    let key = format!("user-{gone}");
    assert_eq!(client.request("GET", "/api/x", &[("X-Key", &key)], b"").status, 500);
    let second = homes(&mut client);
    for (before, after) in first.iter().zip(&second) {
        assert!(if before == "1" { after != "1" } else { after == before }, "{before} to {after}");
    }
    // Without the header there is no key: it goes anywhere, and is no error.
    let anywhere = answers(&mut client, 40);
    assert_eq!(counts(&anywhere, 3)[1], 0);
    assert!(counts(&anywhere, 3)[0] > 0 && counts(&anywhere, 3)[2] > 0, "{anywhere:?}");
}

#[test]
fn an_endpoint_that_keeps_failing_is_ejected_and_comes_back() {
    let (origins, states) = three();
    states[0].store(500, Ordering::SeqCst);
    let gateway = gateway(
        &origins.each_ref(),
        &[],
        "balance: round_robin, outliers: { consecutive: 3, eject: 300ms, max_ejected: 50% }",
    );
    let mut client = gateway.client();
    let mut failed = 0;
    until("it is ejected", || {
        failed += usize::from(client.get("/api/x").status == 500);
        failed == 3
    });
    let ejected = Instant::now();
    let before = origins[0].count();
    assert_eq!(before, 3);
    // Never while it is out.
    loop {
        let answer = client.get("/api/x");
        if ejected.elapsed() >= Duration::from_millis(250) {
            break;
        }
        assert_eq!((answer.status, origins[0].count()), (200, before));
    }
    // Healed, it gets calls again by time alone.
    states[0].store(200, Ordering::SeqCst);
    until("it is back", || {
        let _ = client.get("/api/x");
        origins[0].count() > before
    });
    assert!(ejected.elapsed() >= Duration::from_millis(290));
}

#[test]
fn no_more_than_max_ejected_are_out() {
    let origins: Vec<(Origin, Arc<AtomicU16>)> = (0..5).map(named).collect();
    let refs: Vec<&Origin> = origins.iter().map(|(origin, _)| origin).collect();
    let gateway = gateway(
        &refs,
        &[],
        "balance: round_robin, outliers: { consecutive: 1, eject: 1h, max_ejected: 50% }",
    );
    let mut client = gateway.client();
    for (_, status) in &origins {
        status.store(503, Ordering::SeqCst);
    }
    // Half of five, rounded down, is two: three go on being asked, however they fail.
    let _ = answers(&mut client, 50);
    let once = refs.iter().filter(|origin| origin.count() == 1).count();
    assert_eq!(once, 2, "{:?}", refs.iter().map(|origin| origin.count()).collect::<Vec<_>>());
    assert_eq!(refs.iter().map(|origin| origin.count()).sum::<usize>(), 50);
}

#[test]
fn a_single_endpoint_is_never_ejected_and_where_none_is_left_all_are_asked() {
    // Both of two may go: then there is nobody, and all are picked from as if they were well.
    for (count, max) in [(1, "100%"), (2, "100%")] {
        let origins: Vec<(Origin, Arc<AtomicU16>)> = (0..count).map(named).collect();
        let refs: Vec<&Origin> = origins.iter().map(|(origin, _)| origin).collect();
        let words =
            format!("balance: round_robin, outliers: {{ consecutive: 1, eject: 1h, max_ejected: {max} }}");
        let gateway = gateway(&refs, &[], &words);
        let mut client = gateway.client();
        origins.iter().for_each(|(_, status)| status.store(503, Ordering::SeqCst));
        let _ = answers(&mut client, 20);
        assert_eq!(refs.iter().map(|origin| origin.count()).sum::<usize>(), 20);
        origins.iter().for_each(|(_, status)| status.store(200, Ordering::SeqCst));
        let got = counts(&answers(&mut client, 20), count);
        assert_eq!(got.iter().sum::<usize>(), 20, "{got:?}");
        assert!(got.iter().all(|got| *got >= 5), "{got:?}");
    }
}

#[test]
fn clients_that_leave_eject_nobody() {
    let hangs = Arc::new(AtomicBool::new(true));
    let hanging = Arc::clone(&hangs);
    let one = Origin::serve(move |turn| {
        if hanging.load(Ordering::SeqCst) { turn.wait_closed() } else { turn.answer(200, &[], "0") }
    });
    let (other, _) = named(1);
    let gateway = gateway(
        &[&one, &other],
        &[],
        "balance: round_robin, outliers: { consecutive: 1, eject: 1h, max_ejected: 50% }",
    );
    for _ in 0..4 {
        let before = one.count();
        until("a call is at the first", || {
            let mut client = gateway.client();
            client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
            client.has_bytes(Duration::from_millis(50));
            one.count() > before
        });
    }
    hangs.store(false, Ordering::SeqCst);
    let got = counts(&answers(&mut gateway.client(), 20), 2);
    assert!(got[0] >= 8, "{got:?}");
}

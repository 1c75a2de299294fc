//! What happens to requests while Redis is slow, away, or another one than before. Ids in comments are cases (s) of
//! the catalogue of behaviour.

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::redis::{connected, metric, shared};
use crate::support::load::{Hits, Load, fleet};
use crate::support::redis::{Redis, Reply, reply};
use crate::support::relay::{BlackHole, Relay, Wire};
use crate::support::{Gateway, holds_within, until};

/// Bounds that cases give, with room for a busy machine.
const RECOVERY: Duration = Duration::from_secs(5);

fn limited(url: &str, limits: &[(&str, &str)]) -> Gateway {
    let config = shared(&format!("url: '{url}', timeout: 200ms"), limits);
    Gateway::start(&[], &config)
}

#[track_caller]
fn one_connected(gateway: &Gateway) {
    connected(std::slice::from_ref(gateway));
}

#[test]
fn without_redis_each_limit_does_what_it_was_told() {
    // s-062
    let redis = Redis::start();
    let five = "limit: 5, window: 600s, headers: [draft-7]";
    let limits = ["allow", "deny", "local"].map(|mode| format!("{five}, when_store_fails: {mode}"));
    let gateway =
        limited(&redis.url(), &[("allow", &limits[0]), ("deny", &limits[1]), ("local", &limits[2])]);
    one_connected(&gateway);
    let mut client = gateway.client();
    for target in ["/allow", "/deny", "/local"] {
        let spent: Vec<u16> = (0..7).map(|_| client.get(target).status).collect();
        assert_eq!(spent, [200, 200, 200, 200, 200, 429, 429], "{target}");
    }
    redis.kill();
    until("it is noticed", || metric(&gateway, "portcullis_redis_up") == 0);
    let begun = Instant::now();
    for _ in 0..20 {
        let answer = client.get("/allow");
        assert_eq!(answer.status, 200);
        assert!(
            !answer.headers.has("ratelimit"),
            "nothing is claimed that nobody knows: {:?}",
            answer.headers
        );
        assert_eq!(client.get("/deny").problem(503), "store unavailable");
        assert_eq!(client.get("/local").status, 429, "what is known to be spent stays spent");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(metric(&gateway, "portcullis_redis_up"), 0);
    gateway.wait_stderr("Redis is away");
    // Empty it comes back, and the limits apply again.
    redis.restart();
    for target in ["/allow", "/deny"] {
        let applies = || client.get(target).status == 429;
        assert!(holds_within(RECOVERY, applies), "{target}: the limit applies again");
    }
    gateway.wait_stderr("Redis is back");
    one_connected(&gateway);
}

#[test]
fn what_is_admitted_without_redis_is_told_when_it_returns() {
    let redis = Redis::start();
    let limit = "limit: 5, window: 600s, when_store_fails: local, key: 'request.headers[\"x-api-key\"]'";
    let gateway = limited(&redis.url(), &[("all", limit)]);
    one_connected(&gateway);
    redis.kill();
    let mut client = gateway.client();
    let mut ask = |key: &str| client.request("GET", "/all", &[("X-Api-Key", key)], b"").status;
    assert_eq!([(); 7].map(|()| ask("a")), [200, 200, 200, 200, 200, 429, 429], "the only replica's share");
    redis.restart();
    let old = metric(&gateway, "portcullis_redis_trips_total");
    let decides = || {
        ask("b");
        metric(&gateway, "portcullis_redis_trips_total") > old && metric(&gateway, "portcullis_redis_up") == 1
    };
    assert!(holds_within(RECOVERY, decides), "Redis decides again");
    assert_eq!(ask("a"), 429, "no second budget");
}

/// A server that does this with every connection, until the test ends.
fn server(each: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            std::thread::spawn(move || each(stream));
        }
    });
    address
}

/// Twenty clients at once, each asking twice: all must be admitted, within a second each.
#[track_caller]
fn admits_at_once(what: &str, address: SocketAddr) {
    let limit = "limit: 5, window: 60s, when_store_fails: allow, headers: [draft-7]";
    let gateway = limited(&format!("redis://{address}"), &[("all", limit)]);
    let barrier = Barrier::new(20);
    let ask = || {
        let mut client = gateway.client();
        barrier.wait();
        [(); 2].map(|()| {
            let sent = Instant::now();
            let answer = client.get("/all");
            assert_eq!(answer.status, 200, "{what}");
            assert!(!answer.headers.has("ratelimit"), "{what}: {:?}", answer.headers);
            sent.elapsed()
        })
    };
    let slowest = std::thread::scope(|scope| {
        let asks: Vec<_> = (0..20).map(|_| scope.spawn(ask)).collect();
        asks.into_iter().flat_map(|ask| ask.join().unwrap()).max().unwrap()
    });
    assert!(slowest < Duration::from_secs(1), "{what}: {slowest:?}");
    assert!(!gateway.exited() && !gateway.stderr().contains("panicked"), "{}", gateway.stderr());
    assert_eq!(metric(&gateway, "portcullis_redis_up"), 0, "{what}");
}

#[test]
fn a_redis_that_never_answers_holds_nobody_up() {
    // s-063
    let mute = server(|stream| {
        let mut stream = BufReader::new(stream);
        while reply(&mut stream).is_ok() {}
    });
    admits_at_once("accepts and says nothing", mute);
}

#[test]
fn a_redis_that_still_loads_holds_nobody_up() {
    // s-063
    let loading = server(|stream| {
        let mut stream = BufReader::new(stream);
        while reply(&mut stream).is_ok() && stream.get_mut().write_all(b"-LOADING busy\r\n").is_ok() {}
    });
    admits_at_once("loads", loading);
}

#[test]
fn a_redis_that_hangs_up_holds_nobody_up() {
    // s-063
    admits_at_once("closes at once", server(drop));
}

#[test]
fn a_redis_that_cannot_be_reached_holds_nobody_up() {
    // s-136
    let hole = BlackHole::new();
    admits_at_once("never connects", hole.address());
}

#[test]
fn a_redis_that_comes_late_is_found() {
    let redis = Redis::start();
    redis.kill();
    let limit = "limit: 2, window: 600s, when_store_fails: deny";
    let gateway = limited(&redis.url(), &[("all", limit)]);
    assert_eq!(gateway.get("/all").problem(503), "store unavailable");
    redis.restart();
    let mut client = gateway.client();
    assert!(holds_within(RECOVERY, || client.get("/all").status == 200));
    let rest: BTreeSet<u16> = (0..3).map(|_| client.get("/all").status).collect();
    assert!(rest.contains(&429), "{rest:?}");
}

const LIMIT: usize = 60;
const WINDOW: Duration = Duration::from_millis(800);
const REPLICAS: usize = 3;

/// What the load saw, with the moment before which nothing had happened.
struct Told {
    hits: Hits,
    event: Instant,
}

/// Three gateways on one Redis, a load that wants far more than there is, and an event in its second window.
#[track_caller]
fn under_load(urls: &str, event: impl FnOnce(&Load)) -> (Vec<Gateway>, Told) {
    let counted = format!("limit: {LIMIT}, window: 800ms");
    let config = shared(
        &format!("{urls}, timeout: 300ms"),
        &[("sliding", &counted), ("fixed", &format!("{counted}, algorithm: fixed_window"))],
    );
    let fleet = fleet(REPLICAS, &[], &config);
    connected(&fleet);
    let load = Load::start(&fleet, 2, &["/sliding", "/fixed"]);
    load.admits(0, LIMIT).lasts(WINDOW * 5 / 4);
    let moment = Instant::now();
    event(&load);
    let hits = load.stop();
    (fleet, Told { hits, event: moment })
}

/// The bound that is promised: the limit before, and twice the limit in a window that holds the event.
#[track_caller]
fn bounded(told: &Told) {
    told.hits.only(&[200, 429]);
    let sliding = told.hits.of(0);
    let calm = sliding.before(told.event).most_in_any(WINDOW);
    assert!(calm <= LIMIT, "{calm} before anything happened");
    let most = sliding.most_in_any(WINDOW);
    assert!(most <= 2 * LIMIT, "{most} sliding");
    // Windows are not seen from here: any interval as long as one may hold parts of two.
    let fixed = told.hits.of(1);
    let windows = fixed.windows(WINDOW);
    let admitted = fixed.admitted();
    assert!(admitted <= LIMIT * (windows + 2), "{admitted} in {windows} windows, with a loss and a return");
}

/// Waits until all decide by Redis again, and looks whether the limit holds.
#[track_caller]
fn recovered(fleet: &[Gateway]) {
    connected(fleet);
    let load = Load::start(fleet, 2, &["/sliding"]);
    load.lasts(WINDOW * 5 / 2);
    let hits = load.stop();
    hits.only(&[200, 429]);
    let most = hits.since(hits.begun + WINDOW).most_in_any(WINDOW);
    assert!((LIMIT / 2..=LIMIT).contains(&most), "{most} after the return");
}

fn url(address: SocketAddr) -> String {
    format!("url: 'redis://{address}'")
}

#[test]
fn a_redis_that_halts_is_bridged() {
    let redis = Redis::start();
    let (fleet, told) = under_load(&url(redis.address()), |load| {
        redis.stop();
        load.lasts(WINDOW * 3);
        redis.cont();
        load.lasts(WINDOW * 4);
    });
    bounded(&told);
    assert!(told.hits.since(told.event + WINDOW).admitted() > 0, "a share is served");
    recovered(&fleet);
}

#[test]
fn a_redis_that_is_killed_and_forgets_is_bridged() {
    let redis = Redis::start();
    let (fleet, told) = under_load(&url(redis.address()), |load| {
        redis.kill();
        load.lasts(WINDOW * 5 / 2);
        redis.restart();
        load.lasts(WINDOW * 4);
    });
    bounded(&told);
    assert!(told.hits.since(told.event + WINDOW).admitted() > 0, "a share is served");
    recovered(&fleet);
}

#[test]
fn a_restart_in_a_moment_gives_no_third_budget() {
    let redis = Redis::start();
    let (fleet, told) = under_load(&url(redis.address()), |load| {
        redis.restart();
        load.lasts(WINDOW * 3);
    });
    bounded(&told);
    recovered(&fleet);
}

#[test]
fn a_partition_is_bridged() {
    let redis = Redis::start();
    let relay = Relay::to(redis.address());
    let (fleet, told) = under_load(&url(relay.address()), |load| {
        relay.set(Wire::Silent);
        load.lasts(WINDOW * 5 / 2);
        relay.set(Wire::Refuse);
        load.lasts(WINDOW * 3);
        relay.set(Wire::Pass);
        load.lasts(WINDOW * 4);
    });
    bounded(&told);
    assert!(told.hits.since(told.event + WINDOW).admitted() > 0, "a share is served");
    recovered(&fleet);
}

#[test]
fn scripts_that_are_flushed_are_loaded_again() {
    let redis = Redis::start();
    let (fleet, told) = under_load(&url(redis.address()), |load| {
        for part in 6..14 {
            assert_eq!(redis.command(&["SCRIPT", "FLUSH"]).text(), "OK");
            load.lasts(WINDOW * part / 4);
        }
    });
    told.hits.only(&[200, 429]);
    let most = told.hits.of(0).most_in_any(WINDOW);
    assert!(most <= LIMIT, "{most}: nothing is lost with a script");
    for gateway in &fleet {
        assert_eq!(metric(gateway, "portcullis_redis_up"), 1);
    }
}

#[test]
fn a_replica_takes_over() {
    let primary = Redis::start();
    let replica = Redis::with_args(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    until("the replica follows", || {
        replica.command(&["INFO", "replication"]).text().contains("master_link_status:up")
    });
    let urls = format!("urls: ['{}', '{}']", primary.url(), replica.url());
    let (fleet, told) = under_load(&urls, |load| {
        primary.kill();
        load.lasts(WINDOW * 2);
        assert_eq!(replica.command(&["REPLICAOF", "NO", "ONE"]), Reply::Text("OK".to_owned()));
        load.lasts(WINDOW * 4);
    });
    bounded(&told);
    recovered(&fleet);
    assert!(!replica.keys().is_empty());
}

//! One budget for many gateways, kept in a real Redis. Ids in comments are cases (s) of the catalogue of behaviour.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Barrier;
use std::time::Duration;

use crate::process::Folder;
use crate::support::load::{Hits, Load, fleet};
use crate::support::redis::{Redis, Reply};
use crate::support::{Client, Gateway, Origin, holds_within, until};

/// Limits in Redis by name, each with a route of that name that answers by itself. The wait for Redis is long, because
/// these tests are about what it says.
pub(crate) fn shared(redis: &str, limits: &[(&str, &str)]) -> String {
    let mut text = format!("redis: {{ {redis} }}\nadmin: {{ listen: 127.0.0.1:0 }}\nrate_limits:\n");
    for (name, body) in limits {
        text.push_str(&format!("  {name}: {{ store: redis, {body} }}\n"));
    }
    text.push_str("routes:\n");
    for (name, _) in limits {
        text.push_str(&format!(
            "  /{name}: {{ respond: {{ status: 200, body: ok }}, policies: {{ rate_limit: {name} }} }}\n"
        ));
    }
    text
}

const URL: &str = "url: '${REDIS_URL}', timeout: 5s";

/// The sum of a metric over its labels; 0 where it has no line.
pub(crate) fn metric(gateway: &Gateway, start: &str) -> u64 {
    let mut client = Client::connect(gateway.admin());
    let page = client.request("GET", "/metrics", &[("Host", "localhost")], b"").text();
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    page.lines().filter(|line| line.starts_with(start)).map(value).sum()
}

/// Waits until all have their Redis, and know of each other.
#[track_caller]
pub(crate) fn connected(fleet: &[Gateway]) {
    let count = fleet.len() as u64;
    until("all gateways see each other in Redis", || {
        fleet.iter().all(|gateway| {
            metric(gateway, "portcullis_redis_up") == 1
                && metric(gateway, "portcullis_redis_replicas") == count
        })
    });
}

fn start(redis: &Redis, limits: &[(&str, &str)]) -> Gateway {
    let config = shared(URL, limits);
    let gateway = Gateway::prepare(&[]).env("REDIS_URL", &redis.url()).start(&config);
    connected(std::slice::from_ref(&gateway));
    gateway
}

const LIMIT: usize = 200;
/// Long enough for a busy machine to ask for more than the limit.
const WINDOW: Duration = Duration::from_secs(3);

/// Never above the limit, and nobody is refused while less than 95 % of it has been admitted. A permit may count a fiftieth of
/// the window longer, with the hold of its lease, and what Redis refused is believed as long; trips take their time too.
#[track_caller]
fn holds(name: &str, hits: &Hits) {
    hits.only(&[200, 429]);
    let (admitted, most) = (hits.admitted(), hits.most_in_any(WINDOW));
    if name.starts_with("fixed") {
        let windows = hits.windows(WINDOW);
        assert!(admitted <= LIMIT * windows, "{name}: {admitted} in {windows} windows");
    } else {
        assert!(most <= LIMIT, "{name}: {most} in an interval as long as the window");
    }
    let fewest = hits.fewest_before_a_refusal(WINDOW * 54 / 50).expect("more is asked for than there is");
    assert!(fewest * 100 >= LIMIT * 95, "{name}: refused with {fewest} in the window before");
}

/// Two algorithms, with leases and without, under one load.
fn one_limit_of(gateways: usize) {
    let redis = Redis::start();
    let counted = format!("limit: {LIMIT}, window: {}s", WINDOW.as_secs());
    let limits = [
        ("sliding", counted.clone()),
        ("fixed", format!("{counted}, algorithm: fixed_window")),
        ("sliding-strict", format!("{counted}, lease: none")),
        ("fixed-strict", format!("{counted}, lease: none, algorithm: fixed_window")),
    ];
    let limits = limits.each_ref().map(|(name, body)| (*name, body.as_str()));
    let fleet = fleet(gateways, &[("REDIS_URL", &redis.url())], &shared(URL, &limits));
    connected(&fleet);
    let targets = ["/sliding", "/fixed", "/sliding-strict", "/fixed-strict"];
    let load = Load::start(&fleet, 8_usize.div_ceil(gateways).max(2), &targets);
    load.lasts(WINDOW * 14 / 10);
    let hits = load.stop();
    for (at, (name, _)) in limits.iter().enumerate() {
        holds(name, &hits.of(at));
    }
}

#[test]
fn one_gateway_keeps_a_limit() {
    one_limit_of(1);
}

#[test]
fn two_gateways_keep_one_limit() {
    one_limit_of(2);
}

#[test]
fn eight_gateways_keep_one_limit() {
    one_limit_of(8);
}

#[test]
fn a_bucket_is_shared_too() {
    let redis = Redis::start();
    let bucket = "limit: 1, window: 600s, algorithm: token_bucket, burst: 50";
    let fleet = fleet(2, &[("REDIS_URL", &redis.url())], &shared(URL, &[("bucket", bucket)]));
    connected(&fleet);
    let mut clients: Vec<Client> = fleet.iter().map(Gateway::client).collect();
    let admitted = (0..120).filter(|n| clients[n % 2].get("/bucket").status == 200).count();
    assert_eq!(admitted, 50);
}

#[test]
fn requests_of_one_moment_are_counted_one_by_one() {
    // s-137, in both stores
    let redis = Redis::start();
    for (store, more) in [("memory", ""), ("redis", ""), ("redis", ", lease: none")] {
        let origin = Origin::text("ok");
        let limit = format!("{{ limit: 40, window: 60s, key: route, store: {store}{more} }}");
        let config = format!(
            "redis: {{ {URL}, namespace: '{store}{}' }}\nadmin: {{ listen: 127.0.0.1:0 }}\nrate_limits: {{ all: {limit} }}\n\
             routes: {{ /api/*: {{ upstream: ORIGIN1, policies: {{ rate_limit: all }} }} }}\n",
            more.len()
        );
        let gateway = Gateway::prepare(&[&origin]).env("REDIS_URL", &redis.url()).start(&config);
        if store == "redis" {
            connected(std::slice::from_ref(&gateway));
        }
        let barrier = Barrier::new(100);
        let mut statuses: Vec<u16> = std::thread::scope(|scope| {
            let asks: Vec<_> = (0..100)
                .map(|_| {
                    scope.spawn(|| {
                        let mut client = gateway.client();
                        barrier.wait();
                        client.get("/api/x").status
                    })
                })
                .collect();
            asks.into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [[200; 40].as_slice(), &[429; 60]].concat(), "{store}{more}");
        assert_eq!(origin.count(), 40);
    }
}

/// Seconds that each key still lives; -1 stands for ever.
fn lives(redis: &Redis) -> Vec<(String, i64)> {
    let life = |key: String| (redis.command(&["PTTL", &key]).int(), key);
    redis.keys().into_iter().map(life).map(|(life, key)| (key, life)).collect()
}

#[test]
fn every_key_expires_and_one_that_does_not_heals() {
    // s-056
    let redis = Redis::start();
    let limits = ["sliding_window", "fixed_window", "token_bucket"]
        .map(|algorithm| format!("limit: 5, window: 2s, algorithm: {algorithm}"));
    let named = [("sliding", &*limits[0]), ("fixed", &*limits[1]), ("bucket", &*limits[2])];
    let gateway = start(&redis, &named);
    let before: BTreeSet<String> = redis.keys().into_iter().collect();
    let mut client = gateway.client();
    for (name, _) in named {
        assert_eq!(client.get(&format!("/{name}")).status, 200);
    }
    // A key may have gone between being listed and being asked about (-2).
    let lives = lives(&redis);
    assert!(lives.iter().all(|(_, life)| *life != -1), "{lives:?}");
    let counters: Vec<&String> = lives.iter().map(|(key, _)| key).filter(|k| !before.contains(*k)).collect();
    assert_eq!(counters.len(), 3, "{counters:?}");
    assert!(counters.iter().all(|key| key.starts_with("portcullis")), "the namespace: {counters:?}");
    for broken in ["999", "", "not what is kept there, and longer than it"] {
        for key in &counters {
            assert_eq!(redis.command(&["SET", key, broken]).text(), "OK");
        }
        for (name, _) in named {
            let heals = || client.get(&format!("/{name}")).status == 200;
            assert!(holds_within(Duration::from_secs(5), heals), "{name} after {broken:?}");
        }
        let lives = self::lives(&redis);
        assert!(lives.iter().all(|(_, life)| *life != -1), "after {broken:?}: {lives:?}");
    }
    // Another type under the name is no counter either.
    for key in &counters {
        redis.command(&["DEL", key]);
        assert_eq!(redis.command(&["RPUSH", key, "x"]).int(), 1);
    }
    for (name, _) in named {
        let heals = || client.get(&format!("/{name}")).status == 200;
        assert!(holds_within(Duration::from_secs(5), heals), "{name} after a list");
    }
}

/// How the guide shows it: many replicas, one limit.
const SHARED_LIMITS: &str = r#"
listen: 127.0.0.1:8080
admin: { listen: 127.0.0.1:9901 }
redis: { url: "${REDIS_URL:-redis://127.0.0.1:6379}" }
upstreams:
  users: { url: "http://127.0.0.1:3001" }
rate_limits:
  per_key: { limit: 100, window: 60s, key: 'request.headers["x-api-key"]', algorithm: sliding_window, store: redis, when_store_fails: local, headers: [draft-8] }
policies: { rate_limit: per_key }
routes:
  /api/users/*: { upstream: users, rewrite: / }
"#;

#[test]
fn a_file_for_many_replicas_does_what_it_says() {
    let (origin, redis) = (Origin::text("ok"), Redis::start());
    let config = SHARED_LIMITS
        .replace(":8080", ":0")
        .replace(":9901", ":0")
        .replace("http://127.0.0.1:3001", "ORIGIN1")
        .replace(":-redis://127.0.0.1:6379}\"", ":-redis://127.0.0.1:6379}\", timeout: 300ms");
    let fleet: Vec<Gateway> =
        (0..2).map(|_| Gateway::prepare(&[&origin]).env("REDIS_URL", &redis.url()).start(&config)).collect();
    connected(&fleet);
    let mut clients: Vec<Client> = fleet.iter().map(Gateway::client).collect();
    let mut ask = |number: usize, key: &str| {
        clients[number % 2].request("GET", "/api/users/42", &[("X-Api-Key", key)], b"")
    };
    for number in 0..130 {
        let answer = ask(number, "one");
        let policy = answer.header("ratelimit-policy").unwrap();
        assert!(policy.starts_with("\"per_key\"; q=100; w=60; pk=:"), "{policy}");
        if answer.status == 429 {
            assert_eq!(answer.problem(429), "rate limited");
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            // What is taken ahead counts as spent up to a second later.
            assert!((1..=61).contains(&wait), "{wait}");
        }
    }
    assert_eq!(origin.count(), 100);
    assert_eq!(ask(0, "two").status, 200, "another key, another budget");
    redis.stop();
    let statuses: BTreeSet<u16> = (0..20).map(|number| ask(number, "three").status).collect();
    assert_eq!(statuses, [200].into(), "a share of each replica's own");
    redis.cont();
}

#[test]
fn a_password_is_sent_and_a_wrong_one_is_told() {
    let redis = Redis::with_args(&["--requirepass", "s3cret"]);
    let url = format!("redis://:s3cret@{}", redis.address());
    let config = shared(URL, &[("all", "limit: 2, window: 60s, when_store_fails: deny")]);
    let gateway = Gateway::prepare(&[]).env("REDIS_URL", &url).start(&config);
    connected(std::slice::from_ref(&gateway));
    let mut client = gateway.client();
    assert_eq!([(); 3].map(|()| client.get("/all").status), [200, 200, 429]);
    assert!(!gateway.stderr().contains("s3cret"));
    let wrong = url.replace("s3cret", "gu3ss");
    let gateway = Gateway::prepare(&[]).env("REDIS_URL", &wrong).start(&config);
    assert_eq!(gateway.get("/all").problem(503), "store unavailable");
    gateway.wait_stderr("authentication failed");
    assert!(!gateway.stderr().contains("gu3ss"), "{}", gateway.stderr());
}

/// An authority (`ca.pem`), and a key and a certificate for 127.0.0.1 by it (`key.pem`, `cert.pem`), in that folder.
fn certify(folder: &Folder) {
    folder.write(
        "openssl.cnf",
        "[req]\ndistinguished_name = name\n[name]\n[ca]\nbasicConstraints = critical, CA:TRUE\n\
         [leaf]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1\n",
    );
    let made = |arguments: &[&str]| {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-config", "openssl.cnf", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    made(&["-extensions", "ca", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"]);
    made(&[
        "-extensions",
        "leaf",
        "-subj",
        "/CN=redis.test",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ]);
}

#[test]
fn tls_is_spoken_and_the_certificate_checked() {
    let (pki, redis) = (Folder::new(), Redis::start());
    certify(&pki);
    let url = format!("url: 'rediss://127.0.0.1:{}', timeout: 5s", redis.tls(pki.path()));
    let limits = [("all", "limit: 2, window: 60s, when_store_fails: deny")];
    let trusts = format!("{url}, tls: {{ ca: '{}/ca.pem' }}", pki.path().display());
    let gateway = Gateway::start(&[], &shared(&trusts, &limits));
    connected(std::slice::from_ref(&gateway));
    let mut client = gateway.client();
    assert_eq!([(); 3].map(|()| client.get("/all").status), [200, 200, 429]);
    // Nobody known to the system has signed it.
    let gateway = Gateway::start(&[], &shared(&url, &limits));
    assert_eq!(gateway.get("/all").problem(503), "store unavailable");
    gateway.wait_stderr("certificate");
}

/// Gives a node all slots, or a part of them.
fn slots(node: &Redis, from: usize, to: usize) {
    let numbers: Vec<String> = (from..to).map(|slot| slot.to_string()).collect();
    let words: Vec<&str> =
        ["CLUSTER", "ADDSLOTS"].into_iter().chain(numbers.iter().map(String::as_str)).collect();
    assert_eq!(node.command(&words).text(), "OK");
}

const CLUSTER: &[&str] = &["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"];

#[track_caller]
fn whole(nodes: &[Redis]) {
    until("the cluster is whole", || {
        nodes.iter().all(|node| node.command(&["CLUSTER", "INFO"]).text().contains("cluster_state:ok"))
    });
}

#[test]
fn keys_of_any_length_are_short_in_redis_and_the_same_for_every_replica() {
    let redis = Redis::start();
    let config =
        shared(URL, &[("long", "limit: 10, window: 600s, lease: none, key: 'request.headers[\"x-key\"]'")]);
    let fleet: Vec<Gateway> =
        (0..2).map(|_| Gateway::prepare(&[]).env("REDIS_URL", &redis.url()).start(&config)).collect();
    connected(&fleet);
    let before: BTreeSet<String> = redis.keys().into_iter().collect();
    let mut clients: Vec<Client> = fleet.iter().map(Gateway::client).collect();
    let mut left = |replica: usize, key: &str| {
        let answer = clients[replica].request("GET", "/long", &[("X-Key", key)], b"");
        let state = answer.header("ratelimit").unwrap();
        state.split("r=").nth(1).and_then(|rest| rest.split(';').next()?.parse::<u32>().ok()).unwrap()
    };
    let long = "k".repeat(12 * 1024);
    let other = format!("{}l", &long[1..]);
    assert_eq!((left(0, &long), left(1, &long), left(0, &other), left(1, "k")), (9, 8, 9, 9));
    let added: Vec<String> = redis.keys().into_iter().filter(|key| !before.contains(key)).collect();
    assert_eq!(added.len(), 3, "{added:?}");
    assert!(
        added.iter().all(|key| key.starts_with("portcullis:limit-2:long:") && key.len() < 64),
        "{added:?}"
    );
}

/// Thirty keys, each with a budget of three, over two gateways.
#[track_caller]
fn spread(urls: &str) {
    let limit = "limit: 3, window: 60s, when_store_fails: deny, key: 'request.headers[\"x-api-key\"]'";
    let config = shared(&format!("urls: [{urls}], timeout: 5s"), &[("all", limit)]);
    let fleet = fleet(2, &[], &config);
    connected(&fleet);
    let mut clients: Vec<Client> = fleet.iter().map(Gateway::client).collect();
    for key in 0..30 {
        let key = format!("key-{key}");
        let ask =
            |number: usize| clients[number % 2].request("GET", "/all", &[("X-Api-Key", &key)], b"").status;
        assert_eq!([0, 1, 2, 3, 4].map(ask), [200, 200, 200, 429, 429], "{key}");
    }
}

#[test]
fn a_cluster_of_one_node_serves() {
    let node = Redis::with_args(CLUSTER);
    slots(&node, 0, 16384);
    whole(std::slice::from_ref(&node));
    spread(&format!("'{}'", node.url()));
}

#[test]
fn a_cluster_of_three_nodes_is_found_from_one_of_them() {
    let nodes = [Redis::with_args(CLUSTER), Redis::with_args(CLUSTER), Redis::with_args(CLUSTER)];
    for (at, node) in nodes.iter().enumerate() {
        slots(node, at * 16384 / 3, (at + 1) * 16384 / 3);
        assert_eq!(node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]).text(), "OK");
    }
    for node in &nodes[1..] {
        let port = node.port().to_string();
        assert_eq!(nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port]).text(), "OK");
    }
    whole(&nodes);
    spread(&format!("'{}'", nodes[0].url()));
    for node in &nodes {
        let Reply::Int(size) = node.command(&["DBSIZE"]) else { panic!("a number of keys") };
        assert!(size > 0, "keys live on every node");
    }
}

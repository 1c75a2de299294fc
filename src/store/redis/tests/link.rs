//! The connection: how it comes, goes and comes back.

use std::net::TcpListener;
use std::process::Command;

use redis::Commands;

use crate::store::Algorithm::{FixedWindow, SlidingWindow};
use crate::store::redis::Remote;
use crate::store::redis::link::State;

use super::server::{Server, free_port, until};
use super::{ask, limit, linked, send, taken, trip, up, wait_for};

#[test]
fn early_trips_wait_for_the_connection() {
    let server = Server::start();
    let (link, told) = linked(&format!("{{ url: \"{}\", timeout: 5s }}", server.url()));
    assert!(link.is_up());
    assert_eq!(taken(&link, trip("k", limit(SlidingWindow, 5, 1000), 1)).granted, 1);
    assert_eq!(link.statistics().trips, 1);
    assert!(told.all().is_empty());
}

#[test]
fn scripts_that_are_forgotten_are_sent_again() {
    let server = Server::start();
    let link = up(&server.url());
    let mut look = server.connection();
    for left in (0..4).rev() {
        let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut look).unwrap();
        assert_eq!(taken(&link, trip("k", limit(FixedWindow, 4, 60_000), 1)).remaining, left);
    }
}

#[test]
fn it_starts_without_a_server_and_finds_it_later() {
    let mut server = Server::start();
    server.kill();
    let (link, told) = linked(&format!("{{ url: \"{}\", timeout: 5s }}", server.url()));
    wait_for(&link, State::Away);
    assert!(!link.is_up());
    assert!(ask(&link, trip("k", limit(SlidingWindow, 5, 1000), 1)).is_err());
    assert!(link.statistics().last_error.is_some());
    assert!(server.run());
    wait_for(&link, State::Up);
    assert_eq!(taken(&link, trip("k", limit(SlidingWindow, 5, 1000), 1)).granted, 1);
    until("both are told", || told.all().len() == 2);
    assert!(told.all()[0].starts_with("down: ") && told.all()[1] == "up", "{:?}", told.all());
}

#[test]
fn a_killed_server_is_away_at_once_and_a_restarted_one_is_used() {
    let mut server = Server::start();
    let link = up(&server.url());
    let limit = limit(FixedWindow, 5, 60_000);
    assert_eq!(taken(&link, trip("k", limit, 1)).remaining, 4);
    server.kill();
    assert!(ask(&link, trip("k", limit, 1)).is_err());
    assert!(!link.is_up());
    assert!(server.run());
    wait_for(&link, State::Up);
    assert_eq!(taken(&link, trip("k", limit, 1)).remaining, 4, "it has lost what it counted");
}

#[test]
fn a_silent_server_opens_the_breaker_and_a_probe_closes_it() {
    let server = Server::start();
    let (link, told) = linked(&format!("{{ url: \"{}\", timeout: 500ms }}", server.url()));
    wait_for(&link, State::Up);
    let limit = limit(FixedWindow, 5, 60_000);
    server.freeze();
    let waiting: Vec<_> = (0..3).map(|_| send(&link, trip("k", limit, 1))).collect();
    waiting.iter().for_each(|_| link.timed_out());
    assert!(!link.is_up());
    assert!(ask(&link, trip("k", limit, 1)).is_err(), "nobody waits any more");
    until("it is told", || told.all().len() == 1);
    server.thaw();
    wait_for(&link, State::Up);
    until("every trip has ended", || waiting.iter().all(|trip| trip.try_recv().is_ok()));
    assert!(ask(&link, trip("k", limit, 1)).is_ok());
}

#[test]
fn a_silent_server_is_noticed_without_traffic() {
    let server = Server::start();
    let (link, _) = linked(&format!("{{ url: \"{}\", timeout: 100ms }}", server.url()));
    wait_for(&link, State::Up);
    server.freeze();
    wait_for(&link, State::Away);
    server.thaw();
    wait_for(&link, State::Up);
}

#[test]
fn replicas_are_counted() {
    let server = Server::start();
    let first = up(&server.url());
    assert_eq!(first.replicas(), 1);
    let second = up(&server.url());
    assert_eq!(second.replicas(), 2);
    until("the first knows the second", || first.replicas() == 2);
    drop(second);
    until("the second is forgotten", || first.replicas() == 1);
    let mut look = server.connection();
    assert!(look.pttl::<_, i64>("portcullis:replicas").unwrap() > 0);
    // Somebody else's value in our place is no reason to stop.
    let _: () = look.set("portcullis:replicas", "x").unwrap();
    until("the key is ours again", || {
        redis::cmd("TYPE").arg("portcullis:replicas").query::<String>(&mut look).unwrap() == "zset"
    });
    wait_for(&first, State::Up);
}

#[test]
fn it_logs_in_with_a_password_and_never_shows_it() {
    let server = Server::with(&["--requirepass", "hunter2"]);
    let link = up(&format!("redis://:hunter2@127.0.0.1:{}", server.port));
    assert_eq!(taken(&link, trip("k", limit(SlidingWindow, 5, 1000), 1)).granted, 1);
    let (wrong, told) = linked(&format!("{{ url: \"{}\", password: \"swordfish\" }}", server.url()));
    wait_for(&wrong, State::Away);
    until("it is told", || !told.all().is_empty());
    assert!(told.all()[0].contains("WRONGPASS") || told.all()[0].contains("uthent"), "{:?}", told.all());
    assert!(
        !format!("{:?} {:?} {:?}", told.all(), wrong.statistics(), wrong.settings()).contains("swordfish")
    );
}

#[test]
fn of_several_nodes_the_primary_is_asked_and_after_a_failover_the_new_one() {
    let mut old = Server::start();
    let new = Server::with(&["--replicaof", "127.0.0.1", &old.port.to_string()]);
    let mut replica = new.connection();
    until("the replica follows", || {
        let about: String = redis::cmd("INFO").arg("replication").query(&mut replica).unwrap();
        about.contains("master_link_status:up")
    });
    let urls = format!("{{ urls: [\"{}\", \"{}\"], timeout: 5s }}", new.url(), old.url());
    let (link, _) = linked(&urls);
    wait_for(&link, State::Up);
    let limit = limit(FixedWindow, 5, 60_000);
    assert_eq!(taken(&link, trip("k", limit, 1)).remaining, 4);
    until("the replica has it", || replica.exists("k").unwrap());
    // A planned failover: the old primary lives on, as a replica.
    let _: () = redis::cmd("REPLICAOF").arg("NO").arg("ONE").query(&mut replica).unwrap();
    let mut demoted = old.connection();
    let _: () = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(new.port).query(&mut demoted).unwrap();
    let mut left = None;
    until("the new one is asked", || {
        left = ask(&link, trip("k", limit, 1)).ok().map(|grant| grant.remaining);
        left.is_some()
    });
    assert_eq!(left, Some(3), "nothing was forgotten");
    old.kill();
    assert_eq!(taken(&link, trip("k", limit, 1)).remaining, 2);
}

#[test]
fn a_cluster_is_found_out() {
    let server = Server::with(&["--cluster-enabled", "yes"]);
    let mut look = server.connection();
    let _: () = redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16383).query(&mut look).unwrap();
    until("the cluster is ready", || {
        let about: String = redis::cmd("CLUSTER").arg("INFO").query(&mut look).unwrap();
        about.contains("cluster_state:ok")
    });
    let (link, _) = linked(&format!("{{ urls: [\"{}\"], timeout: 5s }}", server.url()));
    wait_for(&link, State::Up);
    for key in ["a", "b", "c"] {
        let limit = limit(SlidingWindow, 5, 60_000);
        assert_eq!(taken(&link, trip(key, limit, 2)).remaining, 3);
        assert_eq!(taken(&link, trip(key, limit, 1)).remaining, 2);
    }
    server.freeze();
    (0..3).for_each(|_| link.timed_out());
    assert!(!link.is_up());
    server.thaw();
    wait_for(&link, State::Up);
}

#[test]
fn it_speaks_tls_with_certificates_on_both_sides() {
    let folder = std::env::temp_dir().join(format!("portcullis-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let openssl = |arguments: &str| {
        let done = Command::new("openssl").args(arguments.split(' ')).current_dir(&folder).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2",
    );
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout redis.key -out redis.csr -subj /CN=redis",
    );
    std::fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    openssl(
        "x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out redis.pem -days 2 -extfile san",
    );
    let path = |name: &str| folder.join(name).display().to_string();
    let (ca, certificate, key) = (path("ca.pem"), path("redis.pem"), path("redis.key"));
    let port = free_port().to_string();
    let server = Server::with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
    ]);
    let url = format!("rediss://127.0.0.1:{port}");
    let tls = format!("{{ ca: {ca}, certificate: {certificate}, key: {key} }}");
    let (link, _) = linked(&format!("{{ url: \"{url}\", timeout: 5s, tls: {tls} }}"));
    wait_for(&link, State::Up);
    assert_eq!(taken(&link, trip("k", limit(SlidingWindow, 5, 1000), 1)).granted, 1);
    let (stranger, _) = linked(&format!("{{ url: \"{url}\", timeout: 5s }}"));
    wait_for(&stranger, State::Away);
    drop(server);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn something_else_on_the_port_is_no_server() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (link, _) = linked(&format!("{{ url: \"redis://{}\" }}", other.local_addr().unwrap()));
    let waiting = send(&link, trip("k", limit(SlidingWindow, 5, 1000), 1));
    wait_for(&link, State::Away);
    until("the trip has ended", || waiting.try_recv().is_ok_and(|outcome| outcome.is_err()));
}

#[test]
fn a_dropped_link_answers_what_is_on_its_way() {
    let server = Server::start();
    let link = up(&server.url());
    server.freeze();
    let waiting = send(&link, trip("k", limit(SlidingWindow, 5, 1000), 1));
    drop(link);
    until("the trip has ended", || waiting.try_recv().is_ok_and(|outcome| outcome.is_err()));
}

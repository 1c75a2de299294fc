use std::path::PathBuf;

use super::super::testing::{A, AAAA, QUICK, Record, SRV, Say, Server, next_failure, next_set, sink};
use super::*;
use std::time::Duration;

fn resolver(server: &Server) -> Resolver {
    Resolver::with_nameserver(server.address)
}

/// A folder of its own for the settings of a resolver.
fn files(name: &str, resolv_conf: &str, hosts: &str) -> (PathBuf, PathBuf) {
    let folder = std::env::temp_dir().join(format!("portcullis-dns-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let paths = (folder.join("resolv.conf"), folder.join("hosts"));
    std::fs::write(&paths.0, resolv_conf).unwrap();
    std::fs::write(&paths.1, hosts).unwrap();
    paths
}

#[tokio::test]
async fn a_name_that_moves_is_followed() {
    let server = Server::start();
    server.set("up.test", A, Say::addresses(1, &["127.0.0.2"]));
    let (sink, mut news) = sink();
    let (work, following) = host(resolver(&server), "up.test", 80, QUICK, sink);
    let task = tokio::spawn(work);
    assert_eq!(next_set(&mut news).await, ["127.0.0.2:80*1"]);
    // Its lifetime of ten minutes is more than the pace relies on.
    server.set("up.test", A, Say::addresses(600, &["127.0.0.4", "127.0.0.3"]));
    assert_eq!(next_set(&mut news).await, ["127.0.0.3:80*1", "127.0.0.4:80*1"]);
    // Answers in another order are the same set, which is news once.
    server.set("up.test", A, Say::addresses(600, &["127.0.0.3", "127.0.0.4"]));
    server.asked_again(5).await;
    server.set("up.test", A, Say::addresses(600, &["127.0.0.5"]));
    assert_eq!(next_set(&mut news).await, ["127.0.0.5:80*1"]);
    drop(following);
    task.await.unwrap();
    assert!(news.recv().await.is_none(), "nothing more was news, and the sink is gone");
}

#[tokio::test]
async fn failures_are_told_and_take_nothing_away() {
    let server = Server::start();
    server.set("up.test", A, Say::addresses(1, &["127.0.0.2"]));
    let (sink, mut news) = sink();
    let (work, _following) = host(resolver(&server), "up.test", 80, QUICK, sink);
    tokio::spawn(work);
    assert_eq!(next_set(&mut news).await, ["127.0.0.2:80*1"]);
    server.set("up.test", A, Say::Code(2, None));
    server.set("up.test", AAAA, Say::Code(2, None));
    assert_eq!(next_failure(&mut news).await, "up.test: the name server answered SERVFAIL");
    server.set("up.test", A, Say::Code(3, Some(300)));
    server.set("up.test", AAAA, Say::Code(3, Some(300)));
    while next_failure(&mut news).await != "up.test: no such name, or nothing under it" {}
    server.set("up.test", A, Say::addresses(1, &["127.0.0.3"]));
    assert_eq!(next_set(&mut news).await, ["127.0.0.3:80*1"]);
}

#[tokio::test]
async fn doubts_bring_the_next_question_forward() {
    let server = Server::start();
    server.set("up.test", A, Say::addresses(3600, &["127.0.0.2"]));
    let (sink, mut news) = sink();
    let slow = Pace { max: Duration::from_secs(3600), ..QUICK };
    let (work, following) = host(resolver(&server), "up.test", 80, slow, sink);
    tokio::spawn(work);
    assert_eq!(next_set(&mut news).await, ["127.0.0.2:80*1"]);
    server.set("up.test", A, Say::addresses(3600, &["127.0.0.3"]));
    following.ask_again();
    assert_eq!(next_set(&mut news).await, ["127.0.0.3:80*1"]);
}

#[tokio::test]
async fn an_address_is_asked_of_nobody() {
    let server = Server::start();
    let (sink, mut news) = sink();
    let (work, _following) = host(resolver(&server), "::1", 81, QUICK, sink);
    tokio::spawn(work);
    assert_eq!(next_set(&mut news).await, ["[::1]:81*1"]);
    assert_eq!(server.asked(), []);
}

#[tokio::test]
async fn a_service_is_its_targets_of_the_best_priority() {
    let server = Server::start();
    let target = |priority, weight, port, target| Record::Service { priority, weight, port, target };
    let all = vec![
        target(20, 5, 82, "spare.test"),
        target(10, 30, 80, "a.test"),
        target(10, 10, 81, "b.test"),
        target(10, 10, 81, "gone.test"),
    ];
    server.set("_http._tcp.up.test", SRV, Say::Records(1, all));
    server.set("spare.test", A, Say::addresses(1, &["127.0.0.9"]));
    server.set("a.test", A, Say::addresses(1, &["127.0.0.2", "127.0.0.3"]));
    server.set("b.test", A, Say::addresses(1, &["127.0.0.4"]));
    let (sink, mut news) = sink();
    let (work, _following) = service(resolver(&server), "_http._tcp.up.test", QUICK, sink);
    tokio::spawn(work);
    assert_eq!(next_set(&mut news).await, ["127.0.0.2:80*3", "127.0.0.3:80*3", "127.0.0.4:81*2"]);
    assert!(!server.asked().iter().any(|(name, _)| name == "spare.test"), "not needed");

    server.set("_http._tcp.up.test", SRV, Say::Code(2, None));
    assert_eq!(next_failure(&mut news).await, "_http._tcp.up.test: the name server answered SERVFAIL");
    let rest = vec![target(20, 0, 82, "spare.test"), target(10, 1, 80, "gone.test")];
    server.set("_http._tcp.up.test", SRV, Say::Records(1, rest));
    assert_eq!(next_set(&mut news).await, ["127.0.0.9:82*1"]);
    server.set("_http._tcp.up.test", SRV, Say::Records(1, vec![target(0, 0, 0, ".")]));
    assert_eq!(next_set(&mut news).await, [""; 0], "the service says that it is not offered");
}

#[tokio::test]
async fn the_files_of_the_system_hold_and_are_read_again() {
    let server = Server::start();
    server.set("up.a.test", A, Say::addresses(1, &["127.0.0.5"]));
    let (resolv_conf, hosts) = files("system", "nameserver 127.0.0.1\n", "127.0.0.7 up extra # here\n");
    let resolver = Resolver::from_files(&resolv_conf, &hosts);
    let (sink, mut news) = sink();
    let (work, _following) = host(resolver, "extra", 80, QUICK, sink);
    tokio::spawn(work);
    assert_eq!(next_set(&mut news).await, ["127.0.0.7:80*1"]);
    std::fs::write(&hosts, "127.0.0.8 extra\n127.0.0.6 extra\n").unwrap();
    assert_eq!(next_set(&mut news).await, ["127.0.0.6:80*1", "127.0.0.8:80*1"]);
    drop(std::fs::remove_dir_all(hosts.parent().unwrap()));
    assert_eq!(server.asked(), []);
}

#[tokio::test]
async fn a_name_that_is_absent_for_long_enough_has_no_addresses() {
    let server = Server::start();
    let (v4, soon) = (("up.test", A), Pace { absent_after: Duration::from_millis(100), ..QUICK });
    server.set(v4.0, v4.1, Say::addresses(1, &["127.0.0.2"]));
    let (sink, mut news) = sink();
    let (work, _following) = host(resolver(&server), "up.test", 80, soon, sink);
    tokio::spawn(work);
    assert_eq!(next_set(&mut news).await, ["127.0.0.2:80*1"]);
    // A name server that fails is not believed, however often.
    for kind in [A, AAAA] {
        server.set("up.test", kind, Say::Code(2, None));
    }
    for _ in 0..20 {
        assert_eq!(next_failure(&mut news).await, "up.test: the name server answered SERVFAIL");
    }
    // Nothing under the name, of either family.
    for kind in [A, AAAA] {
        server.set("up.test", kind, Say::Records(1, Vec::new()));
    }
    let absent = "up.test: no such name, or nothing under it";
    while next_failure(&mut news).await != absent {}
    assert_eq!(next_set(&mut news).await, [""; 0]);
    server.set("up.test", A, Say::addresses(1, &["127.0.0.3"]));
    assert_eq!(next_set(&mut news).await, ["127.0.0.3:80*1"]);
}

#[tokio::test]
async fn a_first_absence_takes_nothing_away_and_is_believed_at_once() {
    let server = Server::start();
    let (sink, mut news) = sink();
    let (work, _host) = host(resolver(&server), "up.test", 80, QUICK, Arc::clone(&sink));
    tokio::spawn(work);
    assert_eq!(next_set(&mut news).await, [""; 0]);
    let (work, _service) = service(resolver(&server), "_http._tcp.up.test", QUICK, Arc::clone(&sink));
    tokio::spawn(work);
    assert_eq!(next_set(&mut news).await, [""; 0]);
    // Where addresses are in use from before, it may take them away.
    let carries = Pace { carries: true, ..QUICK };
    let (work, _carried) = host(resolver(&server), "up.test", 80, carries, sink);
    tokio::spawn(work);
    assert_eq!(next_failure(&mut news).await, "up.test: no such name, or nothing under it");
}

#[tokio::test]
async fn a_service_that_is_absent_for_long_enough_has_no_endpoints() {
    let server = Server::start();
    let target = Record::Service { priority: 1, weight: 1, port: 80, target: "a.test" };
    server.set("_http._tcp.up.test", SRV, Say::Records(1, vec![target]));
    server.set("a.test", A, Say::addresses(1, &["127.0.0.2"]));
    let (sink, mut news) = sink();
    let soon = Pace { absent_after: Duration::from_millis(50), ..QUICK };
    let (work, _following) = service(resolver(&server), "_http._tcp.up.test", soon, sink);
    tokio::spawn(work);
    assert_eq!(next_set(&mut news).await, ["127.0.0.2:80*1"]);
    // Its only target has gone, and then the service.
    server.set("a.test", A, Say::Code(3, None));
    assert_eq!(next_set(&mut news).await, [""; 0]);
    server.set("a.test", A, Say::addresses(1, &["127.0.0.3"]));
    assert_eq!(next_set(&mut news).await, ["127.0.0.3:80*1"]);
    server.set("_http._tcp.up.test", SRV, Say::Code(3, None));
    assert_eq!(next_set(&mut news).await, [""; 0]);
}

#[tokio::test]
async fn names_of_this_machine_need_no_name_server() {
    let server = Server::start();
    let text = format!("search a.test\nnameserver {}\noptions timeout:1 attempts:1\n", server.address.ip());
    for resolv_conf in [text.as_str(), "nonsense\n", ""] {
        let (resolv_conf, hosts) = files("alone", resolv_conf, "127.0.0.7 extra\n::7 extra\n");
        let resolver = Resolver::from_files(&resolv_conf, &hosts);
        assert_eq!(resolver.fault(), None);
        for (name, v4, v6) in [("extra", "127.0.0.7", "::7"), ("LocalHost", "127.0.0.1", "::1")] {
            let found = resolver.addresses(name).await;
            assert_eq!(found.v4.unwrap().0, [v4.parse::<std::net::Ipv4Addr>().unwrap()], "{name}");
            assert_eq!(found.v6.unwrap().0, [v6.parse::<std::net::Ipv6Addr>().unwrap()], "{name}");
        }
        let nowhere = resolver.addresses("up.invalid").await;
        assert_eq!(nowhere.v4, Err(Failed::Absent { ttl: None }));
        drop(std::fs::remove_dir_all(hosts.parent().unwrap()));
    }
}

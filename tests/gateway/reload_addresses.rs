//! A listener whose address becomes wider or narrower on the port that it has: the port does not count as
//! taken, no connection is refused, and another process that has the port is found.

use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use socket2::{Domain, Socket, Type};

use crate::support::{Answer, Client, Gate, Gateway, Origin, until};

fn config(listen: &str) -> String {
    format!(
        "
        admin: {{ listen: 127.0.0.1:0 }}
        listen: '{listen}'
        routes:
          /version: {{ respond: {{ status: 200, body: '{listen}' }} }}
          /slow: {{ upstream: ORIGIN1 }}
        "
    )
}

#[track_caller]
fn reload(gateway: &Gateway, config: &str) -> Answer {
    gateway.replace_config(config);
    Client::connect(gateway.admin()).request("POST", "/reload", &[("Host", "localhost")], b"")
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

/// Addresses in turn, each step from one to the next; all are reached by `through`.
fn walk(steps: &[&str], through: &str) {
    let gate = Gate::new();
    let held = gate.clone();
    let slow = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.answer(200, &[], "slow");
    });
    let gateway = Gateway::start(&[&slow], &config(&format!("{}:0", steps[0])));
    let port = gateway.address().port();
    let target: SocketAddr = format!("{through}:{port}").parse().unwrap();
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut running: Vec<Client> = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Each by a connection of its own: one that is refused or cut off fails the test.
                    let answer = Client::connect(target).get("/version");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    assert!(answer.complete);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let ended = Ended(&over);
        for (at, step) in steps.iter().enumerate() {
            let mut begun = Client::connect(target);
            begun.send("GET /slow HTTP/1.1\r\nHost: gw.test\r\n\r\n");
            slow.wait_count(at + 1);
            running.push(begun);
            let listen = format!("{step}:{port}");
            let report = reload(&gateway, &config(&listen));
            assert_eq!(report.status, 200, "to {listen}: {}", report.text());
            assert_eq!(Client::connect(target).get("/version").text(), listen);
            let before = asked.load(Ordering::Relaxed);
            until("traffic goes on", || asked.load(Ordering::Relaxed) > before + 50);
        }
        drop(ended);
    });
    gate.open();
    for mut begun in running {
        assert_eq!(begun.read().text(), "slow", "what was being served is served to its end");
    }
    assert!(gateway.stderr_lines().iter().all(|line| !line.contains("ERROR")), "{}", gateway.stderr());
}

/// Ends the load also where a step fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn ipv4_widens_and_narrows_under_load() {
    walk(&["127.0.0.1", "0.0.0.0", "127.0.0.1", "0.0.0.0"], "127.0.0.1");
}

#[test]
fn every_address_becomes_every_other_under_load() {
    if has_ipv6() {
        let (one, four, both) = ("127.0.0.1", "0.0.0.0", "[::]");
        walk(&[both, one, four, one, both, four, both, one], "127.0.0.1");
        walk(&[both, "[::1]", both], "[::1]");
    }
}

#[test]
fn a_narrower_address_is_served_no_wider() {
    let gateway = Gateway::start(&[], &config("0.0.0.0:0").replace("ORIGIN1", "'http://127.0.0.1:1'"));
    let port = gateway.address().port();
    let at = |ip: &str| -> SocketAddr { format!("{ip}:{port}").parse().unwrap() };
    assert_eq!(Client::connect(at("127.0.0.2")).get("/version").status, 200);
    let mut idle = Client::connect(at("127.0.0.2"));
    assert_eq!(idle.get("/version").status, 200);
    let narrow = config(&format!("127.0.0.1:{port}")).replace("ORIGIN1", "'http://127.0.0.1:1'");
    assert_eq!(reload(&gateway, &narrow).status, 200);
    assert_eq!(Client::connect(at("127.0.0.1")).get("/version").status, 200);
    until("the others are refused", || std::net::TcpStream::connect(at("127.0.0.2")).is_err());
    assert!(idle.closed(), "an idle connection of the wide address ends with it");
    gateway.wait_stderr("leaves 0.0.0.0");
}

#[test]
fn two_listeners_share_a_port_on_a_narrow_and_a_wide_address() {
    let listeners = |more: &str| {
        format!(
            "
            admin: {{ listen: 127.0.0.1:0 }}
            listeners:
              default: {{ listen: '127.0.0.1:0', routes: {{ /name: {{ respond: {{ body: narrow }} }} }} }}
              {more}
            "
        )
    };
    let gateway = Gateway::start(&[], &listeners(""));
    let port = gateway.address().port();
    let wide =
        format!("wide: {{ listen: '0.0.0.0:{port}', routes: {{ /name: {{ respond: {{ body: wide }} }} }} }}");
    let report = reload(&gateway, &listeners(&wide));
    assert_eq!(report.status, 200, "{}", report.text());
    let name = |ip: &str| Client::connect(format!("{ip}:{port}").parse().unwrap()).get("/name").text();
    assert_eq!((name("127.0.0.1"), name("127.0.0.2")), ("narrow".to_owned(), "wide".to_owned()));
    // The narrow one goes: its port is taken in, under the other one's name.
    let alone = listeners(&wide).replace("default: {", "other: {").replace(
        "127.0.0.1:0', routes: { /name: { respond: { body: narrow",
        "127.0.0.1:0', routes: { /name: { respond: { body: other",
    );
    let report = reload(&gateway, &alone);
    assert_eq!(report.status, 200, "{}", report.text());
    assert_eq!((name("127.0.0.1"), name("127.0.0.2")), ("wide".to_owned(), "wide".to_owned()));
}

/// A socket of this process, which is another one than the gate's.
struct Theirs(Socket);

impl Theirs {
    fn listen(address: SocketAddr, shared: bool) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(shared).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(1).unwrap();
        Self(socket)
    }
}

impl Drop for Theirs {
    /// A process that another test is starting holds a copy of the socket until its program is loaded: closing this one
    /// alone would leave the port taken.
    fn drop(&mut self) {
        self.0.shutdown(Shutdown::Both).unwrap();
    }
}

#[test]
fn a_port_that_another_process_has_is_found_also_where_it_shares_it() {
    let plain = |listen: &str| config(listen).replace("ORIGIN1", "'http://127.0.0.1:1'");
    let gateway = Gateway::start(&[], &plain("127.0.0.1:0"));
    let port = gateway.address().port();
    let at = |ip: &str| -> SocketAddr { format!("{ip}:{port}").parse().unwrap() };
    let mut wanted = vec![("127.0.0.2", "127.0.0.2"), ("127.0.0.2", "0.0.0.0")];
    if has_ipv6() {
        wanted.extend([("127.0.0.2", "[::]"), ("[::1]", "[::]")]);
    }
    for shared in [false, true] {
        for (has, wants) in &wanted {
            let other = Theirs::listen(at(has), shared);
            let report = reload(&gateway, &plain(&format!("{wants}:{port}")));
            assert_eq!(report.status, 422, "{has} is theirs ({shared}), {wants} is wanted");
            let detail = report.json()["detail"].to_string();
            assert!(detail.contains("the port is taken"), "{detail}");
            let answer = Client::connect(at("127.0.0.1")).get("/version");
            assert_eq!((answer.status, answer.text()), (200, "127.0.0.1:0".to_owned()));
            drop(other);
        }
    }
    // The wildcard that shares hides behind the gate's own, narrower one.
    let other = Theirs::listen(at("0.0.0.0"), true);
    assert_eq!(reload(&gateway, &plain(&format!("0.0.0.0:{port}"))).status, 422);
    drop(other);
    let report = reload(&gateway, &plain(&format!("0.0.0.0:{port}")));
    assert_eq!(report.status, 200, "{}", report.text());
}

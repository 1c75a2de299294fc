//! Several listeners on one address: the Host of each request chooses.

use std::net::{SocketAddr, TcpListener};

use crate::support::h2::{Session, block_on, request};
use crate::support::{Answer, Client, Gateway, until};

/// An address that nobody has at the moment, away from where connections of other tests begin.
fn free(host: u8) -> SocketAddr {
    TcpListener::bind(SocketAddr::from(([127, 0, 77, host], 0))).unwrap().local_addr().unwrap()
}

/// Four frontends on one address; every answer tells which listener gave it.
fn four(address: SocketAddr) -> String {
    format!(
        r#"
listeners:
  shop: {{ listen: {address}, hosts: [shop.test, www.shop.test], limits: {{ body: 10B }} }}
  all: {{ listen: {address}, hosts: ["*.test"] }}
  inner: {{ listen: {address}, hosts: ["*.shop.test"], routes: {{ /only: {{ respond: {{ body: inner }} }} }} }}
  default: {{ listen: {address} }}
routes:
  /who: {{ respond: {{ status: 200, body: {{ is: "{{listener}}" }} }} }}
"#
    )
}

fn ask(client: &mut Client, host: &str, target: &str) -> Answer {
    client.request("GET", target, &[("Host", host)], b"")
}

fn who(client: &mut Client, host: &str) -> String {
    ask(client, host, "/who").json()["is"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_closest_host_chooses_the_listener_request_by_request() {
    let address = free(1);
    let gateway = Gateway::start(&[], &four(address));
    assert_eq!(["shop", "all", "inner", "default"].map(|name| gateway.listener(name)), [address; 4]);
    // One connection: the listener is chosen anew with every request on it.
    let mut client = gateway.client();
    for (host, listener) in [
        ("shop.test", "shop"),
        ("WWW.Shop.Test:8080", "shop"),
        ("a.shop.test.", "inner"),
        ("b.a.shop.test", "inner"),
        ("other.test", "all"),
        ("test", "default"),
        ("shop.test.example", "default"),
        ("127.0.0.1:1", "default"),
    ] {
        assert_eq!(who(&mut client, host), listener, "{host}");
    }
    // What an absolute target names counts, not the line beside it (RFC 9112 section 3.2.2).
    let answer = client.request("GET", "http://shop.test/who", &[("Host", "a.shop.test")], b"");
    assert_eq!(answer.json()["is"], "shop");
    let bare = Client::connect(address).send("GET /who HTTP/1.0\r\n\r\n").read();
    assert_eq!(bare.json()["is"], "default", "no host at all");
    // Routes and bounds are the chosen listener's.
    assert_eq!(ask(&mut client, "a.shop.test", "/only").text(), "inner");
    assert_eq!(ask(&mut client, "shop.test", "/only").problem(404), "no route");
    let post = |host| gateway.request("POST", "/who", &[("Host", host)], b"more than ten bytes").status;
    assert_eq!((post("shop.test"), post("a.test")), (413, 200));
    let told: Vec<String> =
        gateway.log(14).iter().map(|line| line["listener"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(told.iter().filter(|name| *name == "inner").count(), 3, "{told:?}");
}

#[test]
fn streams_of_one_connection_have_each_their_own_listener() {
    let address = free(2);
    let _gateway = Gateway::start(&[], &four(address));
    block_on(async {
        let session = Session::connect(address).await;
        for (host, listener) in [("shop.test", "shop"), ("a.shop.test", "inner"), ("gw.example", "default")] {
            let mut asked = request("GET", "/who", &[]);
            *asked.uri_mut() = format!("http://{host}/who").parse().unwrap();
            let answer = session.open(asked, true).await.unwrap().whole().await.unwrap();
            assert_eq!(answer.body, format!("{{\"is\":\"{listener}\"}}").into_bytes(), "{host}");
        }
    });
}

#[test]
fn where_every_listener_names_its_hosts_another_host_is_no_route() {
    let address = free(3);
    let config = four(address)
        .lines()
        .filter(|line| !line.contains("default:"))
        .fold(String::new(), |text, line| text + line + "\n");
    let gateway = Gateway::start(&[], &config);
    let mut client = Client::connect(gateway.listener("shop"));
    assert_eq!(ask(&mut client, "other.example", "/who").problem(404), "no route");
    assert_eq!(who(&mut client, "a.test"), "all");
}

#[test]
fn a_reload_adds_and_removes_listeners_of_one_address() {
    let address = free(4);
    let gateway = Gateway::start(&[], &four(address));
    let reloaded = |without: &[&str], host: &str, listener: &str| {
        let text = four(address);
        let kept = text
            .lines()
            .filter(|line| !without.iter().any(|name| line.contains(&format!("  {name}: {{ listen"))));
        gateway.replace_config(&kept.fold(String::new(), |text, line| text + line + "\n"));
        gateway.signal("HUP");
        until(&format!("{host} belongs to {listener}"), || {
            who(&mut Client::connect(address), host) == listener
        });
    };
    reloaded(&["shop"], "shop.test", "all");
    reloaded(&["shop", "all"], "shop.test", "default");
    // The listener that bore the sockets is gone, and another bears them.
    reloaded(&["default", "inner"], "a.shop.test", "all");
    let mut client = Client::connect(address);
    assert_eq!(ask(&mut client, "other.example", "/who").problem(404), "no route");
    reloaded(&[], "other.example", "default");
    assert_eq!(who(&mut Client::connect(address), "shop.test"), "shop");
}

//! A process that has too much to do refuses what is new, and goes on with what is under way.

use crate::support::{Gate, Gateway, Origin, until};

#[test]
fn no_more_requests_are_under_way_than_may_be() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.answer(200, &[], "late");
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        admin: { listen: 127.0.0.1:0 }
        overload: { max_in_flight: 2 }
        routes: { /: { upstream: ORIGIN1 } }
        ",
    );
    let mut clients = [gateway.client(), gateway.client()];
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    }
    origin.wait_count(2);
    let refused = gateway.get("/");
    assert_eq!(refused.problem(503), "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(origin.count(), 2);
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.read().text(), "late"));
    until("there is room again", || gateway.get("/").status == 200);
}

#[test]
fn memory_over_its_bound_refuses_and_a_reload_lifts_it() {
    let origin = Origin::text("here");
    let config = |bound: &str| {
        format!("{bound}\nadmin: {{ listen: 127.0.0.1:0 }}\nroutes: {{ /: {{ upstream: ORIGIN1 }} }}\n")
    };
    // No process lives in a KiB.
    let gateway = Gateway::start(&[&origin], &config("overload: { max_memory: 1KiB }"));
    until("it refuses", || gateway.get("/").status == 503);
    assert_eq!(gateway.get("/").problem(503), "overloaded");
    gateway.replace_config(&config("overload: { max_memory: 100GiB }"));
    until("it serves", || gateway.get("/").text() == "here");
}

//! Streams of HTTP/2 that their client takes back.

use crate::support::h2::{Session, block_on, request, wait_for};
use crate::support::{Gate, Gateway, Origin};

#[test]
fn a_stream_that_is_reset_while_it_is_served_is_recorded_with_what_came() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.echo();
    });
    let gateway = Gateway::start(&[&origin], "routes: { /api/*: { upstream: ORIGIN1 } }\n");
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let length = [("content-length", "6000")];
        let mut stream = session.open(request("POST", "/api/x", &length), false).await.unwrap();
        stream.body.send_data(vec![b'x'; 6000].into(), true).unwrap();
        // The service has all of it, so the gate has had it.
        wait_for("the service is asked", || origin.count() == 1).await;
        stream.body.send_reset(h2::Reason::CANCEL);
        wait_for("it is recorded", || !gateway.log(0).is_empty()).await;
    });
    let log = gateway.log(1);
    assert_eq!((&log[0]["status"], &log[0]["bytes_in"]), (&499.into(), &6000.into()), "{}", log[0]);
    gate.open();
}

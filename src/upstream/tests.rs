use std::io::{Read, Write};

use http::Method;

use super::*;
use crate::config::{Host, Url};
use crate::exchange::target::PathRules;
use crate::exchange::{Attempts, Body, HeaderId, Headers, Request, Target};
use crate::telemetry::Metrics;

fn request(method: Method) -> Request {
    let mut headers = Headers::new();
    headers.push_id(HeaderId::Host, b"service");
    let target = Target::parse(b"/x", PathRules::default()).unwrap().target;
    Request { method, target, version: http::Version::HTTP_11, headers, body: Body::Empty }
}

#[test]
fn a_route_that_waits_longer_lifts_the_time_for_an_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (answer, answered) = std::sync::mpsc::channel::<()>();
    let service = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        let _ = answered.recv();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        stream
    });
    let limit = Duration::from_millis(20);
    let url = Url {
        tls: false,
        host: Host::Ip(address.ip()),
        port: address.port(),
        base: "".into(),
        referred: false,
    };
    let settings = Settings {
        name: "service".into(),
        host: address.ip().to_string(),
        authority: address.to_string(),
        base_path: String::new(),
        timeouts: Timeouts { response: limit, ..Timeouts::default() },
        written: UpstreamSettings::anonymous(url),
    };
    let metrics = Metrics::new(1).upstream("service");
    let upstream =
        Arc::new(Upstream::new(settings, Rules::default(), 1, metrics, (Network::default(), None)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let lifted = Duration::from_secs(60);
        let deadline = Deadline {
            at: Instant::now() + lifted,
            lifted: Some(lifted),
            whole: false,
            term: crate::exchange::Term::Head,
        };
        let attempts = Attempts::default();
        let caller =
            Caller { core: CoreId(0), ground: None, upgrades: false, deadline_header: None, interims: None };
        let mut request = request(Method::GET);
        let mut call = std::pin::pin!(upstream.call(caller, &mut request, deadline, &attempts));
        // Well past the upstream's own limit, which would have ended the call.
        let early = tokio::time::timeout(10 * limit, call.as_mut()).await;
        assert!(early.is_err(), "nothing has been answered, and nothing has failed");
        answer.send(()).unwrap();
        assert_eq!(call.await.unwrap().status, http::StatusCode::NO_CONTENT);
    });
    drop(service.join());
}

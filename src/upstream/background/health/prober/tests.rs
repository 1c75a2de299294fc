use std::net::SocketAddr;
use std::sync::Mutex;

use bytes::Bytes;
use regex::bytes::Regex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::super::settings::HttpProbe;
use super::*;

const OFTEN: Duration = Duration::from_millis(10);

fn settings(kind: Kind) -> HealthSettings {
    HealthSettings { every: OFTEN, ..HealthSettings::new(kind) }
}

fn http(change: impl FnOnce(&mut HttpProbe)) -> HealthSettings {
    let mut probe = HttpProbe::new("/healthz?deep", "service.test");
    change(&mut probe);
    settings(Kind::Http(probe))
}

fn grpc(service: &str) -> HealthSettings {
    settings(Kind::Grpc { service: service.to_owned(), authority: "service.test".to_owned() })
}

/// A service that says what is in the cell now, and the requests that it got.
async fn service(answer: &str) -> (SocketAddr, Arc<Mutex<String>>, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(Mutex::new(answer.to_owned()));
    let (got, requests) = mpsc::unbounded_channel();
    let says = Arc::clone(&answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = got.send(String::from_utf8_lossy(&request).into_owned());
            let answer = says.lock().unwrap().clone();
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, answer, requests)
}

const GOOD: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const BAD: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn an_endpoint_falls_and_comes_back() {
    let (address, answer, mut requests) = service(GOOD).await;
    let (told, mut changes) = mpsc::unbounded_channel();
    let report: Report = Arc::new(move |change| drop(told.send(change)));
    let (work, guard) = probe(Destination::plain(address), Arc::new(http(|_| {})), None, report);
    let task = tokio::spawn(work);
    let request = requests.recv().await.unwrap();
    assert_eq!(
        request,
        "GET /healthz?deep HTTP/1.1\r\nhost: service.test\r\nuser-agent: portcullis-health\r\n\
         accept: */*\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(changes.recv().await, Some(Change { healthy: true, why: None }), "the first result");
    requests.recv().await.unwrap();
    *answer.lock().unwrap() = BAD.to_owned();
    let fallen = Change { healthy: false, why: Some("status 503".to_owned()) };
    assert_eq!(changes.recv().await, Some(fallen));
    *answer.lock().unwrap() = GOOD.to_owned();
    assert_eq!(changes.recv().await, Some(Change { healthy: true, why: None }));
    drop(guard);
    task.await.unwrap();
    assert_eq!(changes.recv().await, None, "nothing else changed");
}

#[tokio::test]
async fn answers_are_judged_by_status_and_body() {
    let wants = |regex: &str| http(|probe| probe.body = Some(Regex::new(regex).unwrap()));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nall\r\n5\r\n well\r\n0\r\n\r\n";
    let hinted = format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n{GOOD}");
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nall well";
    for (answer, settings, outcome) in [
        (GOOD, http(|_| {}), Ok(())),
        (hinted.as_str(), http(|_| {}), Ok(())),
        (BAD, http(|probe| probe.status = vec![503..=503]), Ok(())),
        (GOOD, http(|probe| probe.status = vec![200..=200]), Err("status 204")),
        (chunked, wants("^all well$"), Ok(())),
        (chunked, wants("ill"), Err("status 200, but not the body")),
        ("HTTP/1.0 200 OK\r\n\r\nall well", wants("well$"), Ok(())),
        (cut, wants("well"), Err("not HTTP: ")),
        ("", http(|_| {}), Err("closed before an answer")),
        ("SSH-2.0-server\r\n", http(|_| {}), Err("not HTTP: ")),
    ] {
        let (address, _, _requests) = service(answer).await;
        let result = once(&Destination::plain(address), &settings).await;
        match outcome {
            Ok(()) => assert_eq!(result, Ok(()), "{answer:?}"),
            Err(why) => assert!(result.clone().unwrap_err().starts_with(why), "{answer:?} gives {result:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_is_enough_where_nothing_else_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(once(&Destination::plain(address), &settings(Kind::Tcp)).await, Ok(()));
    // Nobody reads or answers there.
    let silent = HealthSettings { timeout: OFTEN, ..http(|_| {}) };
    assert_eq!(once(&Destination::plain(address), &silent).await, Err("no answer within 10 ms".to_owned()));
    drop(listener);
    let refused = once(&Destination::plain(address), &settings(Kind::Tcp)).await.unwrap_err();
    assert!(refused.starts_with("connect: "), "{refused}");
}

/// A gRPC server that answers a call by the service it asks about.
async fn grpc_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    assert_eq!(request.uri(), "http://service.test/grpc.health.v1.Health/Check");
                    assert_eq!(request.headers()["content-type"], "application/grpc");
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let asked = body.data().await.unwrap().unwrap();
                        let head = ::http::Response::builder().header("content-type", "application/grpc");
                        if asked.ends_with(b"none") {
                            let head = head.header("grpc-status", "5").body(()).unwrap();
                            drop(respond.send_response(head, true));
                            return;
                        }
                        let status = if asked.ends_with(b"sick") { 2 } else { 1 };
                        let mut send = respond.send_response(head.body(()).unwrap(), false).unwrap();
                        send.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]), false).unwrap();
                        let mut trailers = ::http::HeaderMap::new();
                        let status = if asked.ends_with(b"broken") { "13" } else { "0" };
                        trailers.insert("grpc-status", status.parse().unwrap());
                        send.send_trailers(trailers).unwrap();
                    });
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn grpc_servers_are_asked_in_their_own_protocol() {
    let address = grpc_server().await;
    assert_eq!(once(&Destination::plain(address), &grpc("")).await, Ok(()));
    assert_eq!(once(&Destination::plain(address), &grpc("shop.Cart")).await, Ok(()));
    assert_eq!(once(&Destination::plain(address), &grpc("sick")).await, Err("NOT_SERVING".to_owned()));
    assert_eq!(once(&Destination::plain(address), &grpc("none")).await, Err("gRPC status 5".to_owned()));
    assert_eq!(once(&Destination::plain(address), &grpc("broken")).await, Err("gRPC status 13".to_owned()));
    let (http1, _, _requests) = service(BAD).await;
    assert!(once(&Destination::plain(http1), &grpc("")).await.unwrap_err().starts_with("HTTP/2: "));
}

#[test]
fn probes_spread_over_time() {
    let every = Duration::from_secs(5);
    assert_eq!(first_pause(every, 0), Duration::ZERO);
    assert_eq!(first_pause(every, u32::MAX), every);
    assert_eq!(pause(every, 0), Duration::from_millis(4500));
    assert_eq!(pause(every, u32::MAX), Duration::from_millis(5500));
}

#[test]
fn equal_settings_are_equal() {
    let with = |text: &str| http(|probe| probe.body = Some(Regex::new(text).unwrap()));
    assert_eq!(with("a"), with("a"));
    assert_ne!(with("a"), with("b"));
    assert_ne!(with("a"), http(|_| {}));
}

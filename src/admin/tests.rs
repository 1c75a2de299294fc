use super::http::{Asked, Bounds, Reply};
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A listening socket and its address.
fn listening() -> (Listener, std::net::SocketAddr) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    (Listener::new(socket).unwrap(), address)
}

/// What a small server answers to these bytes, until it closes.
fn answered(sent: &str) -> String {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let (listener, address) = listening();
        tokio::task::spawn_local(http::serve(listener, Bounds::SMALL, async |asked: &Asked| {
            Reply::text(StatusCode::OK, format!("{} {}", asked.method, asked.path))
        }));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut received = String::new();
        client.read_to_string(&mut received).await.unwrap();
        received
    })
}

#[test]
fn requests_on_one_connection_are_answered_in_turn() {
    let received = answered(
        "POST /a%62 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /b?q HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert!(received.contains("content-length: 8\r\n\r\nPOST /abHTTP/1.1 200 OK"), "{received}");
    assert!(received.ends_with("connection: close\r\n\r\nGET /b"), "{received}");
}

#[test]
fn who_does_not_ask_makes_room_for_who_does() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let (listener, address) = listening();
        let hour = std::time::Duration::from_secs(3600);
        let bounds = Bounds { connections: 2, head_wait: hour, wait: hour, ..Bounds::SMALL };
        tokio::task::spawn_local(http::serve(listener, bounds, async |_: &Asked| {
            Reply::text(StatusCode::OK, "received")
        }));
        let mut crowd = Vec::new();
        for _ in 0..5 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET /half").await.unwrap();
            crowd.push(client);
        }
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut received = String::new();
        client.read_to_string(&mut received).await.unwrap();
        assert!(received.ends_with("\r\n\r\nreceived"), "{received}");
        // Those that came first are the ones that were ended.
        for client in &mut crowd[..4] {
            assert!(client.read(&mut [0; 8]).await.map_or(true, |read| read == 0));
        }
    });
}

#[test]
fn half_a_head_is_not_waited_for_long() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let (listener, address) = listening();
        let (hour, moment) = (std::time::Duration::from_secs(3600), std::time::Duration::from_millis(20));
        let bounds = Bounds { head_wait: moment, wait: hour, ..Bounds::SMALL };
        tokio::task::spawn_local(http::serve(listener, bounds, async |_: &Asked| {
            Reply::text(StatusCode::OK, "received")
        }));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /half").await.unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0);
    });
}

#[test]
fn head_has_the_length_and_no_body() {
    let received = answered("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(received.contains("content-length: 7\r\n") && received.ends_with("\r\n\r\n"), "{received}");
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_closed() {
    for sent in ["GARBAGE\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET /%2f HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let received = answered(sent);
        assert!(
            received.starts_with("HTTP/1.1 400 ") && received.contains("connection: close"),
            "{sent}: {received}"
        );
    }
}

#[test]
fn a_head_or_body_that_is_too_large_ends_the_connection() {
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(9000));
    assert!(answered(&long).starts_with("HTTP/1.1 400 "));
    let body = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n{}", "x".repeat(70_000));
    assert!(answered(&body).contains("connection: close"));
}

#[test]
fn a_long_answer_keeps_no_other_waiting_and_its_next_one_waits_for_its_turn() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let (listener, address) = listening();
        let (begin, begun) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        let turn = Turn::default();
        tokio::task::spawn_local(http::serve(listener, Bounds::SMALL, async move |asked: &Asked| {
            if asked.path == "/short" {
                return Reply::text(StatusCode::OK, "short");
            }
            let (begin, released) = (begin.clone(), Arc::clone(&released));
            let work = move || {
                begin.send(()).unwrap();
                // Nobody waits here: only one has the turn.
                released.try_lock().unwrap().recv().unwrap();
                Reply::text(StatusCode::OK, "long")
            };
            turn.make(|| Box::new(work)).await.unwrap()
        }));
        let ask = async |path: &str| {
            let mut client = TcpStream::connect(address).await.unwrap();
            let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            client
        };
        let received = async |mut client: TcpStream| {
            let mut received = String::new();
            client.read_to_string(&mut received).await.unwrap();
            received
        };
        let (first, second) = (ask("/long").await, ask("/long").await);
        let short = received(ask("/short").await).await;
        assert!(short.ends_with("\r\n\r\nshort"), "{short}");
        release.send(()).unwrap();
        release.send(()).unwrap();
        for client in [first, second] {
            let long = received(client).await;
            assert!(long.ends_with("\r\n\r\nlong"), "{long}");
        }
        assert_eq!(begun.try_iter().count(), 2);
    });
}

#[test]
fn what_breaks_down_is_no_answer_and_gives_its_turn_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let turn = Turn::default();
        assert_eq!(turn.make(|| Box::new(|| panic!("on purpose"))).await.err(), Some(ErrorKind::Internal));
        assert!(turn.make(|| Box::new(|| Reply::text(StatusCode::OK, ""))).await.is_ok());
    });
}

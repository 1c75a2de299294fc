use std::io::{Read, Write};
use std::net::TcpListener;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Version};
use socket2::SockRef;

use crate::net::Detached;

use super::*;
use crate::exchange::target::PathRules;
use crate::exchange::{BodyStream, Frame, HeaderId, Headers, Target};

const CORE: CoreId = CoreId(0);

/// A body of one piece whose length is known.
struct Piece(Option<Bytes>);

impl BodyStream for Piece {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::Data(data))))
    }

    fn remaining(&self) -> Option<u64> {
        self.0.as_ref().map(|data| data.len() as u64)
    }
}

fn request() -> Request {
    let mut headers = Headers::new();
    headers.push_id(HeaderId::Host, b"service");
    let target = Target::parse(b"/x", PathRules::default()).unwrap().target;
    Request { method: Method::POST, target, version: Version::HTTP_11, headers, body: Body::Empty }
}

fn waits() -> Waits {
    let long = Duration::from_secs(60);
    let started = Instant::now();
    let limits = crate::config::AnswerLimits::default();
    Waits {
        deadline: started + long,
        whole: false,
        term: crate::exchange::Term::Head,
        response: long,
        idle: long,
        upload_rate: 4096,
        upgrades: false,
        limits,
        started,
    }
}

#[test]
fn a_connection_that_still_owes_a_part_of_a_request_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Sockets too small for the body, so that its end waits in the outbox.
    SockRef::from(&listener).set_recv_buffer_size(2048).unwrap();
    let address = listener.local_addr().unwrap();
    let service = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0u8; 4]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        stream
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = std::net::TcpStream::connect(address).unwrap();
        SockRef::from(&socket).set_send_buffer_size(2048).unwrap();
        let stream = Detached::new(socket).unwrap().attach().unwrap();
        let http1 = Http1::new(1);
        let mut upload = Upload::new(Body::Stream(Box::new(Piece(Some(vec![b'x'; 16 * 1024 - 256].into())))));
        let lease = http1.over(stream, address, None, CORE);
        let answer = lease.exchange(&request(), &mut upload, waits(), None).await;
        let Ok(answer) = answer else { panic!("an early answer is an answer") };
        assert_eq!(answer.response.status, 200);
        assert_eq!(answer.response.body.collect(100).await.unwrap(), "ok");
        assert!(http1.idle(CORE, Instant::now()).is_none(), "its outbox was not empty");
    });
    drop(service.join());
}

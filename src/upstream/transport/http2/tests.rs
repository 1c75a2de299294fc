use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;

use bytes::Bytes;
use http::{Method, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use crate::exchange::target::PathRules;
use crate::exchange::{Body, Cause, Failure, Frame, HeaderId, Headers, Party, Target, Term};
use crate::net::network::Dialling;
use crate::net::{Dial, Duplex, Network};
use crate::upstream::transport::pool::MAX_IDLE;

use super::*;

mod answers;

const CORE: CoreId = CoreId(0);

/// One end of a connection in memory.
struct Wire(DuplexStream);

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, room)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Duplex for Wire {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn is_quiet(&self) -> bool {
        true
    }

    fn has_failed(&self) -> bool {
        false
    }

    fn finish_writing(&self) {}
}

/// A network that hands the other ends to the test.
struct Memory(Mutex<mpsc::UnboundedSender<DuplexStream>>);

impl Dial for Memory {
    fn dial(&self, _: SocketAddr) -> Dialling<'_> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        self.0.lock().unwrap().send(theirs).unwrap();
        Box::pin(std::future::ready(Ok(Stream::memory(Wire(ours)))))
    }
}

/// Runs a test in made-up time, with an endpoint and what is accepted there.
fn run<F: Future<Output = ()>>(
    test: impl FnOnce(Http2, Network, mpsc::UnboundedReceiver<DuplexStream>) -> F,
) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (say, accepted) = mpsc::unbounded_channel();
    let network = Network::memory(Arc::new(Memory(Mutex::new(say))));
    let bound = Duration::from_secs(3600);
    let test = async { tokio::time::timeout(bound, test(Http2::new(false, 1), network, accepted)).await };
    runtime.block_on(test).expect("it ends");
}

/// Lets so much of the made-up time pass.
async fn pass(length: Duration) {
    let _ = tokio::time::timeout(length, std::future::pending::<()>()).await;
}

fn opening(network: &Network) -> Opening<'_> {
    Opening {
        network,
        address: ([127, 0, 0, 1], 80).into(),
        secure: None,
        lifetime: None,
        core: CORE,
        limits: AnswerLimits::default(),
        upgrades: false,
        proven: false,
        end: clock::now() + Duration::from_secs(60),
    }
}

/// One exchange over the endpoint, with so long for its head.
async fn exchange(http2: &Http2, network: &Network, response: Duration) -> Result<Exchanged, Failure> {
    ask(http2, network, Method::GET, response).await.map_err(|error| error.failure().unwrap())
}

/// The same with this method.
async fn ask(
    http2: &Http2,
    network: &Network,
    method: Method,
    response: Duration,
) -> Result<Exchanged, Error> {
    let Ok(Reached::Lease(lease)) = http2.connect(&opening(network), Protocol::Http2).await else {
        panic!("a session");
    };
    let mut headers = Headers::new();
    headers.push_id(HeaderId::Host, b"service");
    let target = Target::parse(b"/x", PathRules::default()).unwrap().target;
    let request = Request { method, target, version: Version::HTTP_11, headers, body: Body::Empty };
    let started = clock::now();
    let waits = Waits {
        deadline: started + Duration::from_secs(600),
        whole: false,
        term: Term::Head,
        response,
        idle: response,
        upload_rate: 4096,
        upgrades: false,
        limits: AnswerLimits::default(),
        started,
    };
    lease.exchange(&request, &mut Upload::new(Body::Empty), waits, None).await
}

/// Serves a connection: so many streams are answered, the others are left open. Ends with it.
async fn serve(wire: DuplexStream, mut answers: usize) {
    let mut connection = h2::server::handshake(wire).await.unwrap();
    let mut open = Vec::new();
    while let Some(Ok((_, mut reply))) = connection.accept().await {
        if answers > 0 {
            answers -= 1;
            reply.send_response(http::Response::new(()), true).unwrap();
        } else {
            open.push(reply);
        }
    }
}

#[test]
fn a_session_without_streams_ends_when_it_has_rested_long_enough() {
    run(|http2, network, mut accepted| async move {
        let service = tokio::spawn(async move { serve(accepted.recv().await.unwrap(), 2).await });
        assert!(exchange(&http2, &network, MAX_IDLE).await.is_ok());
        pass(MAX_IDLE / 2).await;
        assert!(exchange(&http2, &network, MAX_IDLE).await.is_ok());
        assert_eq!(http2.count(), (1, 0), "it is the same one");
        pass(MAX_IDLE - Duration::from_secs(1)).await;
        assert_eq!(http2.count(), (1, 0));
        service.await.unwrap();
        assert_eq!(http2.count(), (0, 0), "the service has been left");
        assert!(http2.idle(CORE, clock::now()).is_none());
    });
}

#[test]
fn a_dead_service_is_noticed_within_half_a_minute() {
    run(|http2, network, mut accepted| async move {
        let answering = async {
            let mut connection = h2::server::handshake::<_>(accepted.recv().await.unwrap()).await.unwrap();
            let (_, mut reply) = connection.accept().await.unwrap().unwrap();
            reply.send_response(http::Response::new(()), true).unwrap();
            // The answer leaves; from then on nobody looks at the connection.
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.accept()).await;
            connection
        };
        let long = Duration::from_secs(300);
        let (first, _held) = tokio::join!(exchange(&http2, &network, long), answering);
        assert!(first.is_ok());
        let asked = clock::now();
        let Err(error) = ask(&http2, &network, Method::GET, long).await else { panic!("nobody is there") };
        let failure = error.failure().unwrap();
        assert_eq!((failure.party, failure.cause), (Party::Service, Cause::Reset));
        assert_eq!(error.private_source(), Some("the service does not answer a PING"), "for the log");
        let took = clock::read() - asked;
        assert!((29..=31).contains(&took.as_secs()), "{took:?}");
        assert_eq!(http2.count(), (0, 0));
    });
}

#[test]
fn a_service_that_answers_pings_may_take_its_time_and_is_avoided_when_it_took_too_long() {
    run(|http2, network, mut accepted| async move {
        let service = tokio::spawn(async move { serve(accepted.recv().await.unwrap(), 0).await });
        let asked = clock::now();
        let long = Duration::from_secs(200);
        let Err(failure) = exchange(&http2, &network, long).await else { panic!("no answer") };
        assert_eq!((failure.party, failure.cause), (Party::Service, Cause::Timeout));
        assert_eq!((clock::read() - asked).as_secs(), 200);
        assert!(http2.idle(CORE, clock::now()).is_none(), "it takes no new stream");
        service.await.unwrap();
        assert_eq!(http2.count(), (0, 0));
    });
}

#[test]
fn those_who_come_while_a_session_is_opened_share_it() {
    run(|http2, network, mut accepted| async move {
        let opened = tokio::spawn(async move {
            let first = accepted.recv().await.unwrap();
            serve(first, 50).await;
            accepted.try_recv().is_err()
        });
        let all: Vec<_> = (0..50).map(|_| exchange(&http2, &network, MAX_IDLE)).collect();
        let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
        poll_fn(|cx| {
            all.retain_mut(|one| match one.as_mut().poll(cx) {
                Poll::Ready(outcome) => {
                    assert!(outcome.is_ok());
                    false
                }
                Poll::Pending => true,
            });
            if all.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(all);
        drop((http2, network));
        assert!(opened.await.unwrap(), "one connection");
    });
}

/// A place on a session, for this core; the session's connection may be used for so long.
async fn place(
    http2: &Http2,
    network: &Network,
    core: usize,
    (lifetime, patience): (Option<Duration>, Duration),
) -> io::Result<Lease> {
    let end = clock::now() + patience;
    let opening = Opening { core: CoreId(core), lifetime, end, ..opening(network) };
    match http2.connect(&opening, Protocol::Http2).await? {
        Reached::Lease(lease) => Ok(lease),
        Reached::Http1(_) => panic!("HTTP/2 was to be spoken"),
    }
}

/// Serves all connections, with so many streams each, none of which is answered; counts the connections.
fn hold(mut accepted: mpsc::UnboundedReceiver<DuplexStream>, streams: u32) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Some(wire) = accepted.recv().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                let mut connection =
                    builder.max_concurrent_streams(streams).handshake::<_, Bytes>(wire).await.unwrap();
                while let Some(Ok(_)) = connection.accept().await {}
            });
        }
    });
    count
}

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn from_eight_sessions_on_a_core_takes_places_on_those_of_others() {
    run(|_, network, accepted| async move {
        let connections = hold(accepted, 2);
        let http2 = Http2::new(false, 16);
        let mut places = Vec::new();
        for core in 0..16 {
            places.push(place(&http2, &network, core, (None, PATIENCE)).await.unwrap());
        }
        assert_eq!(connections.load(Ordering::Relaxed), 8, "each of the first eight opens its own");
        assert_eq!(http2.count(), (8, 16));
        // All are full: one more is opened, though there are eight.
        places.push(place(&http2, &network, 3, (None, PATIENCE)).await.unwrap());
        assert_eq!(http2.count(), (9, 17));
    });
}

#[test]
fn where_no_more_sessions_may_be_opened_a_stream_has_to_end_first() {
    run(|http2, network, accepted| async move {
        let connections = hold(accepted, 1);
        let mut places = Vec::new();
        for _ in 0..64 {
            places.push(place(&http2, &network, 0, (None, PATIENCE)).await.unwrap());
        }
        let begun = clock::read();
        let refused = place(&http2, &network, 0, (None, PATIENCE)).await.err().expect("there is no place");
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy, "{refused}");
        // It says so before the bound on connecting would blame the service.
        assert!(clock::read() - begun < PATIENCE);
        let (got, ()) = tokio::join!(place(&http2, &network, 0, (None, PATIENCE)), async {
            tokio::task::yield_now().await;
            places.pop();
        });
        assert!(got.is_ok(), "the place that was left");
        assert_eq!((connections.load(Ordering::Relaxed), http2.count()), (64, (64, 64)));
    });
}

#[test]
fn sessions_that_only_finish_their_streams_keep_no_new_ones_out() {
    run(|http2, network, accepted| async move {
        let connections = hold(accepted, 100);
        let lifetime = Duration::from_secs(40);
        let mut streams = Vec::new();
        // A stream that lasts is opened now and then; each finds the last session too old.
        for _ in 0..70 {
            let place = place(&http2, &network, 0, (Some(lifetime), PATIENCE)).await;
            streams.push(place.expect("a new session"));
            pass(lifetime).await;
        }
        assert_eq!(connections.load(Ordering::Relaxed), 70);
        assert_eq!(http2.count(), (70, 70), "all of them count in the status");
    });
}

/// The next frame of a client: its type, its flags and its payload.
async fn frame(wire: &mut DuplexStream) -> (u8, u8, Vec<u8>) {
    let mut header = [0; 9];
    wire.read_exact(&mut header).await.unwrap();
    let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
    wire.read_exact(&mut payload).await.unwrap();
    (header[3], header[4], payload)
}

#[test]
fn an_answer_to_a_ping_that_comes_after_the_last_stream_hides_no_dead_service() {
    const HEADERS: u8 = 1;
    const PING: u8 = 6;
    run(|http2, network, mut accepted| async move {
        let serving = async {
            let mut wire = accepted.recv().await.unwrap();
            wire.read_exact(&mut [0; 24]).await.unwrap();
            wire.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            while frame(&mut wire).await.0 != HEADERS {}
            // It takes its time: it is asked whether it lives, answers the request, and then the question.
            let question = loop {
                let (kind, _, payload) = frame(&mut wire).await;
                if kind == PING {
                    break payload;
                }
            };
            wire.write_all(&[0, 0, 1, HEADERS, 5, 0, 0, 0, 1, 0x88]).await.unwrap();
            pass(Duration::from_secs(1)).await;
            wire.write_all(&[0, 0, 8, PING, 1, 0, 0, 0, 0]).await.unwrap();
            wire.write_all(&question).await.unwrap();
            pass(Duration::from_secs(1)).await;
            wire
        };
        let long = Duration::from_secs(300);
        let (first, _held) = tokio::join!(exchange(&http2, &network, long), serving);
        assert!(first.is_ok());
        let asked = clock::now();
        let Err(failure) = exchange(&http2, &network, long).await else { panic!("nobody is there") };
        assert_eq!((failure.party, failure.cause), (Party::Service, Cause::Reset));
        let took = clock::read() - asked;
        assert!((29..=31).contains(&took.as_secs()), "{took:?}");
    });
}

#[test]
fn what_speaks_http1_is_opened_in_parallel() {
    let sessions = Sessions::new(1);
    let next = || sessions.next(CORE, false, Instant::now());
    let _waiters = [sessions.waiting().enter(), sessions.waiting().enter()];
    let first = next();
    assert!(matches!(first, Next::Open(_)));
    assert!(matches!(next(), Next::Wait { full: false }), "it may have room for many");
    sessions.carried_one();
    drop(first);
    let again = [next(), next()];
    assert!(again.iter().all(|next| matches!(next, Next::Open(_))), "nobody waits for others");
}

/// Notes whether anything was woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn those_who_wait_for_a_session_do_not_wake_one_another_by_a_look_at_one_at_rest() {
    run(|http2, network, mut accepted| async move {
        let service = tokio::spawn(async move {
            let first = accepted.recv().await.unwrap();
            tokio::join!(serve(first, 1), async { accepted.recv().await.unwrap() }).1
        });
        assert!(exchange(&http2, &network, MAX_IDLE).await.is_ok());
        assert_eq!(http2.count(), (1, 0), "it is at rest");
        // What failed on a session at rest wants another one: the first opens it, and the others wait for that.
        let openings = [(); 4].map(|()| Opening { proven: true, ..opening(&network) });
        let mut all = openings.each_ref().map(|one| Box::pin(http2.connect(one, Protocol::Http2)));
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        for one in &mut all {
            assert!(one.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert!(!woken.0.load(std::sync::atomic::Ordering::Relaxed), "nothing has changed");
        }
        drop(all);
        drop((http2, network));
        service.await.unwrap();
    });
}

#[test]
fn what_is_handed_over_counts_until_it_is_taken() {
    let progress = piece::Progress::new(Instant::now());
    let mut piece = Piece::new(Bytes::from_static(b"12345"), &progress);
    assert!(!progress.is_taken() && progress.moved().is_none());
    bytes::Buf::advance(&mut piece, 5);
    assert!(progress.is_taken() && progress.moved().is_some());
}

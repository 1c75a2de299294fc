use std::future::Future;
use std::sync::Mutex;
use std::task::Context;

use bytes::Bytes;
use http::{Method, Version};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use crate::exchange::target::PathRules;
use crate::exchange::{Body, Cause, Failure, HeaderId, Headers, Party, Target, Term};
use crate::net::network::Dialling;
use crate::net::{Dial, Duplex, Network};
use crate::upstream::transport::pool::MAX_IDLE;

use super::*;

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
    let Ok(Reached::Lease(lease)) = http2.connect(&opening(network), Protocol::Http2).await else {
        panic!("a session");
    };
    let mut headers = Headers::new();
    headers.push_id(HeaderId::Host, b"service");
    let target = Target::parse(b"/x", PathRules::default()).unwrap().target;
    let request =
        Request { method: Method::GET, target, version: Version::HTTP_11, headers, body: Body::Empty };
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
    let exchanged = lease.exchange(&request, &mut Upload::new(Body::Empty), waits, None).await;
    exchanged.map_err(|error| error.failure().unwrap())
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
        let Err(failure) = exchange(&http2, &network, long).await else { panic!("nobody is there") };
        assert_eq!((failure.party, failure.cause), (Party::Service, Cause::Reset));
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

/// Notes whether anybody was woken.
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

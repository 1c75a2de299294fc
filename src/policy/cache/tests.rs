use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Method, StatusCode};

use super::*;
use crate::cache::Draft;
use crate::exchange::testing::Builder;
use crate::exchange::{Body, BodyStream, Error, ErrorKind, Frame, Headers};
use crate::policy::chain::Chain;
use crate::policy::testing::at_once;

fn policy(cache: &Arc<Cache>) -> Chain {
    let settings = Settings {
        cache: Arc::clone(cache),
        ttl: Some(Duration::from_secs(60)),
        key: None,
        head: true,
        stale_if_error: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        shared: false,
    };
    Chain::new(vec![Arc::new(Cached { settings, key_has_cookies: false })])
}

/// A body that gives what it is told, and says how often it was asked.
struct Told {
    frames: VecDeque<Result<Frame, Error>>,
    left: Option<u64>,
    asked: std::rc::Rc<std::cell::Cell<usize>>,
}

impl BodyStream for Told {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        self.asked.set(self.asked.get() + 1);
        Poll::Ready(self.frames.pop_front())
    }

    fn remaining(&self) -> Option<u64> {
        self.left
    }
}

fn data(text: &'static str) -> Result<Frame, Error> {
    Ok(Frame::Data(Bytes::from_static(text.as_bytes())))
}

/// Asks, and gives this body as the service's answer; `None` where the store answered.
fn ask(chain: &Chain, frames: Vec<Result<Frame, Error>>, left: Option<u64>) -> Option<(Response, Rc)> {
    let mut exchange = Builder::get("/a").build();
    let (entered, answer) = at_once(chain.inward(&mut exchange));
    if answer.is_ok_and(|answer| answer.is_some()) {
        return None;
    }
    let asked = Rc::default();
    let stream = Told { frames: frames.into(), left, asked: Rc::clone(&asked) };
    let mut answer = Response { body: Body::Stream(Box::new(stream)), ..Response::new(StatusCode::OK) };
    at_once(chain.outward(entered, &mut exchange, &mut answer));
    Some((answer, asked))
}

type Rc = std::rc::Rc<std::cell::Cell<usize>>;

fn pull(answer: &mut Response) -> Option<Result<Frame, Error>> {
    match answer.body.poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame,
        Poll::Pending => panic!("it never waits"),
    }
}

#[test]
fn a_body_is_copied_at_the_pace_of_the_client_and_kept_at_its_end() {
    for (left, at_data) in [(Some(5), true), (None, false)] {
        let cache = Arc::new(Cache::new(1 << 20));
        let chain = policy(&cache);
        let (mut answer, asked) = ask(&chain, vec![data("wh"), data("ole")], left).unwrap();
        assert_eq!((asked.get(), answer.body.length()), (0, left), "nobody reads ahead");
        pull(&mut answer);
        assert_eq!((asked.get(), cache.statistics().entries), (1, 0));
        pull(&mut answer);
        assert_eq!(cache.statistics().entries, u64::from(at_data));
        assert!(pull(&mut answer).is_none());
        assert_eq!((asked.get(), cache.statistics().entries), (3, 1));
        assert!(ask(&chain, Vec::new(), None).is_none(), "the store answers");
    }
}

#[test]
fn what_is_not_whole_is_not_kept() {
    let broken = || Err(Error::new(ErrorKind::UpstreamFailure));
    let trailers = || Ok(Frame::Trailers(Headers::new()));
    let large = || Ok(Frame::Data(Bytes::from(vec![0; 2 << 20])));
    for (frames, left) in [
        (vec![data("wh"), broken()], None),
        (vec![data("wh"), broken()], Some(5)),
        (vec![data("wh")], Some(5)),
        (vec![data("whole"), trailers()], None),
        (vec![large()], None),
        (vec![data("wh"), large()], None),
        (vec![large()], Some(2 << 20)),
    ] {
        let cache = Arc::new(Cache::new(4 << 20));
        let chain = policy(&cache);
        let count = frames.len();
        let (mut answer, _) = ask(&chain, frames, left).unwrap();
        (0..=count).for_each(|_| drop(pull(&mut answer)));
        assert_eq!(cache.statistics().entries, 0);
    }
    // Who leaves before the end leaves nothing behind.
    let cache = Arc::new(Cache::new(4 << 20));
    let chain = policy(&cache);
    let (mut answer, _) = ask(&chain, vec![data("wh"), data("ole")], None).unwrap();
    pull(&mut answer);
    pull(&mut answer);
    drop(answer);
    assert_eq!(cache.statistics().entries, 0);
    assert!(Draft::new(&cache, Some(1 << 20)).is_some(), "and no room is taken");
}

#[test]
fn other_methods_pass_untouched() {
    let cache = Arc::new(Cache::new(1 << 20));
    let chain = policy(&cache);
    for method in [Method::POST, Method::OPTIONS, Method::PUT] {
        let mut exchange = Builder::get("/a").method(method).build();
        let (entered, answer) = at_once(chain.inward(&mut exchange));
        assert!(answer.is_ok_and(|answer| answer.is_none()) && exchange.cached.is_none());
        let mut answer = Response::new(StatusCode::OK);
        at_once(chain.outward(entered, &mut exchange, &mut answer));
        assert!(answer.headers.is_empty());
    }
    assert_eq!(cache.statistics(), crate::cache::Statistics { max_bytes: 1 << 20, ..Default::default() });
}

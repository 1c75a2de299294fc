use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use super::super::testing::{ALL, encode, text};
use super::*;
use crate::exchange::ErrorKind;

/// A body of prepared steps that counts how often it was pulled.
struct Script {
    steps: VecDeque<Step>,
    pulls: Rc<Cell<usize>>,
}

enum Step {
    Data(Bytes),
    Trailers(Headers),
    Wait,
    Fail,
}

impl BodyStream for Script {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        self.pulls.set(self.pulls.get() + 1);
        Poll::Ready(match self.steps.pop_front() {
            Some(Step::Data(data)) => Some(Ok(Frame::Data(data))),
            Some(Step::Trailers(trailers)) => Some(Ok(Frame::Trailers(trailers))),
            Some(Step::Fail) => Some(Err(Error::new(ErrorKind::UpstreamTimeout))),
            Some(Step::Wait) => return Poll::Pending,
            None => None,
        })
    }

    fn remaining(&self) -> Option<u64> {
        Some(5)
    }
}

fn body(coding: Coding, steps: impl IntoIterator<Item = Step>) -> (Body, Rc<Cell<usize>>) {
    let pulls = Rc::new(Cell::new(0));
    let script = Script { steps: steps.into_iter().collect(), pulls: pulls.clone() };
    (decoded(Body::Stream(Box::new(script)), &[coding]), pulls)
}

fn poll(body: &mut Body) -> Poll<Option<Result<Frame, Error>>> {
    body.poll_frame(&mut Context::from_waker(Waker::noop()))
}

fn data(body: &mut Body) -> Bytes {
    match poll(body) {
        Poll::Ready(Some(Ok(Frame::Data(data)))) => data,
        other => panic!("no data: {other:?}"),
    }
}

fn pieces(encoded: &[u8], piece: usize) -> Vec<Step> {
    encoded.chunks(piece).map(|piece| Step::Data(Bytes::copy_from_slice(piece))).collect()
}

#[test]
fn every_coding_streams_in_frames_of_bounded_size() {
    let plain = text(500_000);
    for coding in ALL {
        let (mut body, _) = body(coding, pieces(&encode(coding, &plain), 1000));
        assert_eq!(body.length(), None);
        let mut all = Vec::new();
        while let Poll::Ready(Some(frame)) = poll(&mut body) {
            let Frame::Data(data) = frame.unwrap() else { panic!("trailers from nowhere") };
            assert!(!data.is_empty() && data.len() <= PIECE);
            all.extend_from_slice(&data);
        }
        assert_eq!(all, plain, "{coding:?}");
    }
}

#[test]
fn one_frame_of_input_is_pulled_only_when_the_last_one_is_decoded() {
    let bomb = encode(Coding::Gzip, &vec![0; 4 << 20]);
    let (mut body, pulls) = body(Coding::Gzip, [Step::Data(Bytes::from(bomb)), Step::Wait]);
    for _ in 0..(4 << 20) / PIECE {
        assert_eq!(data(&mut body).len(), PIECE);
        assert_eq!(pulls.get(), 1);
    }
    assert!(poll(&mut body).is_pending());
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
}

#[test]
fn what_was_flushed_is_handed_on_at_once() {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(b"first").unwrap();
    encoder.flush().unwrap();
    let first = encoder.get_ref().clone();
    encoder.write_all(b"second").unwrap();
    let second = encoder.finish().unwrap()[first.len()..].to_vec();
    let (mut body, _) = body(Coding::Gzip, [Step::Data(first.into()), Step::Wait, Step::Data(second.into())]);
    assert_eq!(data(&mut body), "first");
    assert!(poll(&mut body).is_pending());
    assert_eq!(data(&mut body), "second");
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
}

#[test]
fn trailers_come_behind_the_data() {
    let mut trailers = Headers::new();
    trailers.append("x-sum", b"1").unwrap();
    for coding in ALL {
        let encoded = Bytes::from(encode(coding, b"content"));
        let (mut body, _) = body(coding, [Step::Data(encoded), Step::Trailers(trailers.clone())]);
        assert_eq!(data(&mut body), "content");
        let Poll::Ready(Some(Ok(Frame::Trailers(seen)))) = poll(&mut body) else { panic!("no trailers") };
        assert_eq!(seen.get("x-sum"), Some(b"1".as_slice()));
        assert!(matches!(poll(&mut body), Poll::Ready(None)));
    }
}

#[test]
fn a_broken_or_cut_stream_is_a_failure_of_the_upstream() {
    for coding in ALL {
        let encoded = encode(coding, &text(2000));
        let cut = encoded[..encoded.len() - 1].to_vec();
        let longer = [encoded.as_slice(), b"more"].concat();
        for wrong in [cut, longer] {
            let (mut body, _) = body(coding, [Step::Data(wrong.into()), Step::Trailers(Headers::new())]);
            let error = loop {
                match poll(&mut body) {
                    Poll::Ready(Some(Ok(Frame::Data(_)))) => {}
                    Poll::Ready(Some(Err(error))) => break error,
                    other => panic!("{coding:?}: {other:?}"),
                }
            };
            assert_eq!((error.kind(), error.why()), (ErrorKind::UpstreamFailure, "coding"));
            assert!(error.private_source().is_some());
            assert!(matches!(poll(&mut body), Poll::Ready(None)), "nothing follows a failure");
        }
    }
}

#[test]
fn the_failure_of_the_inner_body_is_its_own() {
    let encoded = Bytes::from(encode(Coding::Gzip, &text(2000)));
    let (mut body, _) = body(Coding::Gzip, [Step::Data(encoded.slice(..20)), Step::Fail]);
    let error = loop {
        match poll(&mut body) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(error))) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::UpstreamTimeout);
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
}

#[test]
fn a_body_at_hand_is_decoded_too_and_an_empty_one_stays_so() {
    let mut body = decoded(Body::Bytes(encode(Coding::Zstd, b"content").into()), &[Coding::Zstd]);
    assert_eq!(data(&mut body), "content");
    assert!(decoded(Body::Empty, &[Coding::Gzip]).is_empty());
    assert!(matches!(decoded(Body::Bytes(Bytes::from_static(b"as it is")), &[]), Body::Bytes(_)));
}

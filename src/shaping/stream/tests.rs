use std::collections::VecDeque;

use super::*;
use crate::json::{Path, Rules};

/// A body in pieces, with a wait before each.
struct Pieces(VecDeque<Result<Bytes, Error>>, bool);

impl BodyStream for Pieces {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        self.1 = !self.1;
        if self.1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.0.pop_front().map(|piece| piece.map(Frame::Data)))
    }

    fn remaining(&self) -> Option<u64> {
        None
    }
}

fn pieces(json: &str, size: usize) -> Body {
    let cut = json.as_bytes().chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece)));
    Body::Stream(Box::new(Pieces(cut.collect(), false)))
}

fn keep(paths: &[&str]) -> Arc<Selection> {
    let keep = paths.iter().map(|path| Path::parse(path).unwrap()).collect();
    Arc::new(Selection::new(&Rules { keep, ..Rules::default() }).unwrap())
}

fn block<T>(future: impl std::future::Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn text(body: Body) -> Result<String, Error> {
    block(body.collect(u64::MAX)).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn a_stream_is_shaped_as_it_comes_and_never_held_whole() {
    let item = format!("{{\"id\":1,\"x\":\"{}\"}},", "y".repeat(1000));
    let json = format!("[{}null]", item.repeat(500));
    let body = block(selected(pieces(&json, 4096), keep(&["[].id"]))).unwrap();
    assert!(matches!(body, Body::Stream(_)));
    assert_eq!(text(body).unwrap(), format!("[{}null]", "{\"id\":1},".repeat(500)));
}

#[test]
fn what_is_short_comes_whole() {
    let body = Body::Bytes(Bytes::from_static(b"{\"a\":1,\"b\":2}"));
    let Body::Bytes(json) = block(selected(body, keep(&["a"]))).unwrap() else { panic!("a stream") };
    assert_eq!(json, "{\"a\":1}");
}

#[test]
fn what_is_wrong_from_the_start_is_told_and_later_breaks_off() {
    let wrong = |json: &str| block(selected(pieces(json, 3), keep(&["a"])));
    assert_eq!(wrong("<html>").unwrap_err().kind(), ErrorKind::UpstreamFailure);
    assert_eq!(wrong("").unwrap_err().kind(), ErrorKind::UpstreamFailure);
    let body = wrong("{\"a\":1,\"b\":x}").unwrap();
    assert_eq!(text(body).unwrap_err().kind(), ErrorKind::UpstreamFailure);
    let body = wrong("{\"a\":1").unwrap();
    assert_eq!(text(body).unwrap_err().why(), "shape");
}

#[test]
fn a_tail_becomes_the_last_member_of_an_object() {
    let tail = || Bytes::from_static(b"\"e\":{}");
    for (json, expected) in [
        ("{}", "{\"e\":{}}"),
        ("{ }", "{ \"e\":{}}"),
        ("{\"a\":{}}", "{\"a\":{},\"e\":{}}"),
        ("[1]", "[1]"),
        ("null", "null"),
    ] {
        for size in 1..=json.len() {
            assert_eq!(text(with_tail(pieces(json, size), tail())).unwrap(), expected, "{json} {size}");
        }
        assert_eq!(text(with_tail(Body::Bytes(Bytes::from(json)), tail())).unwrap(), expected);
    }
}

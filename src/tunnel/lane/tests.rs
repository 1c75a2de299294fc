use std::collections::VecDeque;
use std::task::Waker;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::tunnel::frames::goodbye_of_server;

/// A side that sends pieces one by one, and takes so many bytes.
#[derive(Default)]
struct Script {
    sends: VecDeque<Vec<u8>>,
    ends: bool,
    takes: usize,
    taken: Vec<u8>,
    finished: bool,
    /// Whether it breaks off once it has sent everything.
    breaks: bool,
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.sends.pop_front() {
            Some(piece) => room.put_slice(&piece),
            None if self.breaks => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            None if self.ends => {}
            None => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let length = self.takes.min(bytes.len());
        if length == 0 {
            return Poll::Pending;
        }
        self.takes -= length;
        self.taken.extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finished = true;
        Poll::Ready(Ok(()))
    }
}

fn sender(pieces: &[&[u8]], ends: bool) -> Script {
    Script { sends: pieces.iter().map(|piece| piece.to_vec()).collect(), ends, ..Script::default() }
}

fn taker(takes: usize) -> Script {
    Script { takes, ..Script::default() }
}

/// Whether the lane has ended.
fn poll(lane: &mut Lane, sender: &mut Script, taker: &mut Script) -> bool {
    let room = RefCell::new(ReadBuffer::default());
    match lane.poll(sender, taker, &room, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ended) => {
            ended.unwrap();
            true
        }
        Poll::Pending => false,
    }
}

const FRAME: &[u8] = b"\x82\x05hello";

#[test]
fn nothing_more_is_read_while_something_is_held() {
    let mut lane = Lane::new(BytesMut::from(&b"early "[..]), false);
    let (mut from, mut to) = (sender(&[b"one ", b"two ", b"three"], true), taker(8));
    assert!(!poll(&mut lane, &mut from, &mut to));
    assert_eq!((to.taken.as_slice(), from.sends.len(), lane.moved()), (&b"early on"[..], 2, 8));
    assert!(!poll(&mut lane, &mut from, &mut to), "still nothing is taken");
    assert_eq!(from.sends.len(), 2);
    to.takes = 100;
    assert!(poll(&mut lane, &mut from, &mut to));
    assert_eq!((to.taken.as_slice(), to.finished), (&b"early one two three"[..], true));
    assert_eq!(lane.moved(), 19);
}

#[test]
fn a_goodbye_goes_out_behind_the_frame_that_is_under_way() {
    let mut lane = Lane::new(BytesMut::new(), true);
    let rest = [&FRAME[3..], FRAME].concat();
    let (mut from, mut to) = (sender(&[&FRAME[..3]], false), taker(100));
    assert!(!poll(&mut lane, &mut from, &mut to));
    lane.say_goodbye(goodbye_of_server());
    assert!(!poll(&mut lane, &mut from, &mut to));
    assert_eq!(to.taken, &FRAME[..3], "not in the middle of it");
    from.sends.push_back(rest);
    assert!(!poll(&mut lane, &mut from, &mut to));
    assert_eq!(to.taken, [FRAME, &goodbye_of_server()].concat());
    assert!(lane.is_parted() && !lane.is_ended());
    assert_eq!(lane.moved(), FRAME.len() as u64, "what the gateway says is not counted");
    // What is still sent is read up to the sender's own goodbye.
    from.sends.extend([FRAME.to_vec(), goodbye_of_server()]);
    assert!(poll(&mut lane, &mut from, &mut to));
    assert_eq!(to.taken.len(), FRAME.len() + goodbye_of_server().len());
}

#[test]
fn a_goodbye_of_the_sender_is_the_only_one() {
    let mut lane = Lane::new(BytesMut::new(), true);
    let own = b"\x88\x02\x03\xe8";
    let (mut from, mut to) = (sender(&[&own[..3]], false), taker(100));
    assert!(!poll(&mut lane, &mut from, &mut to));
    assert!(lane.is_closing() && !lane.is_ended());
    lane.say_goodbye(goodbye_of_server());
    from.sends.push_back(own[3..].to_vec());
    from.ends = true;
    assert!(poll(&mut lane, &mut from, &mut to));
    assert_eq!(to.taken, own);
    // The same where it comes with the end of the frame that was waited for.
    let mut lane = Lane::new(BytesMut::from(&FRAME[..4]), true);
    lane.say_goodbye(goodbye_of_server());
    let (mut from, mut to) = (sender(&[&FRAME[4..], own], true), taker(100));
    assert!(poll(&mut lane, &mut from, &mut to));
    assert_eq!(to.taken, [FRAME, &goodbye_of_server()].concat());
}

#[test]
fn who_has_said_goodbye_may_leave_in_any_way() {
    let own = b"\x88\x02\x03\xe8";
    for (says, ends) in [(&own[..], true), (&own[..3], false), (FRAME, false)] {
        let mut lane = Lane::new(BytesMut::new(), true);
        let (mut from, mut to) = (Script { breaks: true, ..sender(&[says], false) }, taker(100));
        let room = RefCell::new(ReadBuffer::default());
        let polled = lane.poll(&mut from, &mut to, &room, &mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(if ends { Ok(()) } else { Err(Broken::Sender) }), "{says:?}");
        assert_eq!((to.taken.as_slice(), to.finished), (says, ends));
    }
}

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use super::*;
use crate::listener::connections::{ConnectionBounds, ConnectionCounts};
use crate::net::Detached;

#[cfg(feature = "models")]
mod threads;

/// A socket that nothing is said on.
fn socket() -> TcpStream {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap()
}

/// A connection with a number of its own.
fn connection(socket: &TcpStream, number: usize, counts: &Arc<ConnectionCounts>) -> Moved {
    Moved {
        stream: Detached::new(socket.try_clone().unwrap()).unwrap(),
        peer: socket.local_addr().unwrap(),
        listener: number,
        counted: counts.take(ConnectionBounds::default(), 0, None).unwrap(),
    }
}

#[test]
fn the_least_busy_core_is_better_once_it_is_two_behind() {
    let (handoff, _exits) = Handoff::new(3);
    let mut mine: Vec<_> = (0..2).map(|_| handoff.count(0)).collect();
    let _other = handoff.count(1);
    assert_eq!((handoff.better(0), handoff.better(1), handoff.better(2)), (Some(2), None, None));
    mine.pop();
    assert_eq!((handoff.better(0), handoff.open()), (None, 2));
}

#[test]
fn what_a_core_cannot_take_comes_back() {
    let (counts, socket) = (ConnectionCounts::new(10_000), socket());
    let (handoff, mut exits) = Handoff::new(2);
    assert!(handoff.give(1, connection(&socket, 7, &counts)).is_ok());
    assert_eq!(exits[1].try_recv().map(|moved| moved.listener), Ok(7));
    drop(exits);
    let back = handoff.give(1, connection(&socket, 8, &counts)).err();
    assert_eq!(back.map(|moved| moved.listener), Some(8));
    assert_eq!(counts.open(), 0);
}

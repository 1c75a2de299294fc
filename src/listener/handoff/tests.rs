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
fn connection(socket: &TcpStream, number: usize, counts: &Arc<ConnectionCounts>, balanced: Counted) -> Moved {
    Moved {
        balanced,
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
    assert_eq!([0, 1, 2].map(|core| handoff.place(core).core()), [2, 1, 2]);
    assert_eq!(handoff.open(), 3, "those that were placed are gone again");
    mine.pop();
    assert_eq!(handoff.place(0).core(), 0);
    assert_eq!(handoff.open(), 2);
}

#[test]
fn what_a_core_cannot_take_comes_back() {
    let (counts, socket) = (ConnectionCounts::new(10_000), socket());
    let (handoff, mut exits) = Handoff::new(2);
    let on_one = || handoff.count(1);
    assert!(handoff.give(0, connection(&socket, 7, &counts, on_one())).is_ok());
    assert_eq!(handoff.open(), 1, "it counts while it is on its way");
    assert_eq!(exits[1].try_recv().map(|moved| moved.listener), Ok(7));
    drop(exits);
    let back = handoff.give(0, connection(&socket, 8, &counts, on_one())).err();
    assert_eq!(back.map(|moved| (moved.listener, moved.balanced.core())), Some((8, 0)));
    assert_eq!((counts.open(), handoff.open()), (0, 0));
}

#[test]
fn a_burst_on_one_core_is_spread_before_any_other_core_has_taken_anything() {
    let (handoff, _exits) = Handoff::new(4);
    let mut placed: Vec<Counted> = Vec::new();
    for _ in 0..100 {
        placed.push(handoff.place(0));
        let counts: Vec<usize> =
            (0..4).map(|core| placed.iter().filter(|at| at.core() == core).count()).collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= AHEAD, "{counts:?}");
    }
    assert_eq!(handoff.open(), 100);
}

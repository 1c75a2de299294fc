//! Who is being served, and who has to go where there are too many.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;

use crate::runtime::task;
use crate::runtime::task::AbortHandle;
use tokio::sync::Notify;

/// The connections of one listener, of which so many may be open.
///
/// A connection that has not asked anything yet, or does not read what it is told, keeps nobody out: the oldest of
/// them ends when another comes. One whose answer is being made stays.
pub(super) struct Seats {
    most: usize,
    list: RefCell<VecDeque<Rc<Seat>>>,
    left: Notify,
}

/// One connection's place.
pub(super) struct Seat {
    answering: Cell<bool>,
    task: RefCell<Option<AbortHandle>>,
}

impl Seat {
    /// Runs what makes the answer, during which the connection is not ended.
    pub(super) async fn answering<T>(&self, answer: impl Future<Output = T>) -> T {
        self.answering.set(true);
        let answer = answer.await;
        self.answering.set(false);
        answer
    }
}

impl Seats {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Rc<Seats> {
        Rc::new(Seats { most, list: RefCell::default(), left: Notify::new() })
    }

    /// Seats a connection that has come in and serves it in a task of its own; first makes room for it, and waits
    /// where nobody can be ended.
    pub(super) async fn seat<S>(self: &Rc<Self>, serve: impl FnOnce(Rc<Seat>) -> S)
    where
        S: Future<Output = ()> + 'static,
    {
        while self.list.borrow().len() >= self.most && !self.end_oldest() {
            self.left.notified().await;
        }
        let seat = Rc::new(Seat { answering: Cell::new(false), task: RefCell::default() });
        self.list.borrow_mut().push_back(Rc::clone(&seat));
        let leave = Leave { seats: Rc::clone(self), seat: Rc::clone(&seat) };
        let served = serve(Rc::clone(&seat));
        let task = task::spawn_local(async move {
            let _leave = leave;
            served.await;
        });
        *seat.task.borrow_mut() = Some(task.abort_handle());
    }

    fn end_oldest(&self) -> bool {
        let mut list = self.list.borrow_mut();
        let Some(oldest) = list.iter().position(|seat| !seat.answering.get()) else { return false };
        if let Some(task) = list.remove(oldest).and_then(|seat| seat.task.borrow_mut().take()) {
            task.abort();
        }
        true
    }
}

struct Leave {
    seats: Rc<Seats>,
    seat: Rc<Seat>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.seats.list.borrow_mut().retain(|seat| !Rc::ptr_eq(seat, &self.seat));
        self.seats.left.notify_one();
    }
}

//! Answers that take a while to make, off the control runtime.

use std::cell::Cell;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::exchange::ErrorKind;
use crate::runtime::task;

use super::http::Reply;

/// What makes an answer. It may block.
pub(super) type Work = Box<dyn FnOnce() -> Reply + Send>;

/// How many may wait for one resource: those who wait keep their connections, and others must find room.
const MOST_WAITING: usize = 4;

/// The turn of one resource: however many ask for it, it is made by one thread at a time.
#[derive(Default)]
pub(super) struct Turn {
    turn: Arc<Mutex<()>>,
    waiting: Cell<usize>,
}

impl Turn {
    /// Makes an answer when those who asked earlier have theirs. `work` is called when the turn has come, so that
    /// nobody holds an old snapshot while waiting.
    ///
    /// # Errors
    /// `Overloaded` where too many wait already, `Internal` where making it broke down.
    pub(super) async fn make(&self, work: impl FnOnce() -> Work) -> Result<Reply, ErrorKind> {
        if self.waiting.get() >= MOST_WAITING {
            return Err(ErrorKind::Overloaded);
        }
        let turn = {
            let _waiting = Waiting::one_more(&self.waiting);
            Arc::clone(&self.turn).lock_owned().await
        };
        let work = work();
        // The turn goes with the work, which is not ended with the one who waits for it.
        let made = task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        made.await.map_err(|_| ErrorKind::Internal)
    }
}

/// One who waits, counted until dropped.
struct Waiting<'a>(&'a Cell<usize>);

impl Waiting<'_> {
    fn one_more(count: &Cell<usize>) -> Waiting<'_> {
        count.set(count.get() + 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

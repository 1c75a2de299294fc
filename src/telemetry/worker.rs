//! A thread that works off a bounded queue, and that can be ended within a bounded time.

use crate::runtime::task;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the thread does with its messages.
pub(super) trait Job: Send + 'static {
    /// What stands in the queue.
    type Message: Send + 'static;
    /// Works one message off; may block.
    fn handle(&mut self, message: Self::Message);
    /// Called once, after the last message.
    fn end(&mut self);
}

/// The end of the queue that puts messages in: `Some`, for `None` only wakes the thread.
pub(super) type Sender<M> = SyncSender<Option<M>>;

/// A running thread and its queue.
pub(super) struct Worker<M> {
    sender: Sender<M>,
    closing: Arc<AtomicBool>,
    running: Mutex<Option<(JoinHandle<()>, Receiver<()>)>>,
}

impl<M: Send + 'static> Worker<M> {
    /// Starts the thread with a queue of so many messages.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(super) fn start<J: Job<Message = M>>(name: &str, bound: usize, mut job: J) -> io::Result<Worker<M>> {
        let (sender, queue) = sync_channel(bound);
        // Nothing is ever sent on it: that it is closed tells that the thread has ended, by a panic too.
        let (alive, ended) = sync_channel(0);
        let closing = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&closing);
        let thread = task::thread(name, move || {
            let _alive: SyncSender<()> = alive;
            run(&mut job, &queue, &closed);
        })?;
        Ok(Worker { sender, closing, running: Mutex::new(Some((thread, ended))) })
    }

    /// A handle on the queue.
    pub(super) fn sender(&self) -> &Sender<M> {
        &self.sender
    }

    /// Has the queue worked off and the thread ended; waits no longer than `wait`. Whether it has ended.
    pub(super) fn close(&self, wait: Duration) -> bool {
        self.closing.store(true, Ordering::SeqCst);
        // Where the queue is full the thread is awake, and sees the flag after its message.
        let _ = self.sender.try_send(None);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((thread, ended)) = running.take() else { return true };
        if ended.recv_timeout(wait) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            // It hangs in a write: leaving it behind is all that can be done.
            return false;
        }
        let _ = thread.join();
        true
    }
}

fn run<J: Job>(job: &mut J, queue: &Receiver<Option<J::Message>>, closing: &AtomicBool) {
    loop {
        let next = if closing.load(Ordering::SeqCst) { queue.try_recv().ok() } else { queue.recv().ok() };
        match next {
            Some(Some(message)) => job.handle(message),
            Some(None) => {}
            None => break,
        }
    }
    job.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Summing(Arc<Mutex<Vec<u32>>>, Receiver<()>);

    impl Job for Summing {
        type Message = u32;
        fn handle(&mut self, message: u32) {
            let _ = self.1.recv();
            self.0.lock().unwrap().push(message);
        }
        fn end(&mut self) {
            self.0.lock().unwrap().push(0);
        }
    }

    #[test]
    fn closing_works_off_what_was_sent_even_from_a_full_queue() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (gate, held) = sync_channel(9);
        let worker = Worker::start("test", 1, Summing(Arc::clone(&seen), held)).unwrap();
        worker.sender().send(Some(1)).unwrap();
        worker.sender().send(Some(2)).unwrap();
        drop(gate);
        assert!(worker.close(Duration::from_secs(60)));
        assert!(worker.close(Duration::ZERO));
        assert_eq!(*seen.lock().unwrap(), [1, 2, 0]);
        assert!(worker.sender().try_send(Some(3)).is_err());
    }

    #[test]
    fn a_thread_that_hangs_is_left_behind() {
        let (gate, held) = sync_channel::<()>(0);
        let worker = Worker::start("test", 4, Summing(Arc::default(), held)).unwrap();
        worker.sender().send(Some(1)).unwrap();
        assert!(!worker.close(Duration::ZERO));
        drop(gate);
    }
}

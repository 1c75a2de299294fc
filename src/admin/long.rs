//! Answers that take a while to make, off the control runtime.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::runtime::task;

use super::http::Reply;

/// What makes an answer. It may block.
pub(super) type Work = Box<dyn FnOnce() -> Reply + Send>;

/// The turn of one resource: however many ask for it, it is made by one thread at a time.
#[derive(Default)]
pub(super) struct Turn(Arc<Mutex<()>>);

impl Turn {
    /// Makes an answer when those who asked earlier have theirs; none where making it broke down.
    pub(super) async fn make(&self, work: Work) -> Option<Reply> {
        let turn = Arc::clone(&self.0).lock_owned().await;
        // The turn goes with the work, which is not ended with the one who waits for it.
        let made = task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        made.await.ok()
    }
}

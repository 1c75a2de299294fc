//! Work beside the calls that ends when its owner is gone.

use std::future::Future;

use tokio::sync::oneshot;

/// Keeps a piece of background work alive; dropping it ends the work at its next wait.
#[derive(Debug)]
#[must_use = "the work ends as soon as this is dropped"]
pub struct Guard {
    _owned: oneshot::Sender<()>,
}

/// The work as a future that ends when the guard is dropped. Spawn it once, on whatever runtime has the time for it.
pub fn guarded<F>(work: F) -> (impl Future<Output = ()> + Send, Guard)
where
    F: Future<Output = ()> + Send,
{
    let (owned, gone) = oneshot::channel();
    let work = async move {
        tokio::select! {
            biased;
            _ = gone => {}
            () = work => {}
        }
    };
    (work, Guard { _owned: owned })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_work_ends_with_its_guard() {
        let (work, guard) = guarded(std::future::pending());
        let task = tokio::spawn(work);
        tokio::task::yield_now().await;
        assert!(!task.is_finished());
        drop(guard);
        task.await.unwrap();
    }
}

//! Starts tasks and threads.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Context;

use tokio::runtime::Handle;

pub(crate) use super::clock::polled;

pub use tokio::task::coop::has_budget_remaining as has_budget;
pub use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};

/// Has the running task polled again once the other tasks and the sockets and timers of this thread have had their turn. A
/// task that only wakes itself goes before the sockets dozens of times.
pub fn yield_turn(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

/// Starts a task on the runtime of this thread, which must run inside a `LocalSet` or local runtime.
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    tokio::task::spawn_local(polled(future))
}

/// Starts a task on the runtime of this thread.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_on(&Handle::current(), future)
}

/// Starts a task on a runtime.
pub fn spawn_on<F>(runtime: &Handle, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    runtime.spawn(polled(future))
}

/// Runs what may block on a thread that is there for it.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// Starts a thread with a name.
///
/// # Errors
/// The system's own.
pub fn thread<T: Send + 'static>(
    name: impl Into<String>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name(name.into()).spawn(work)
}

/// As [`thread`], with a stack of so many bytes.
///
/// # Errors
/// The system's own.
pub fn thread_with_stack<T: Send + 'static>(
    name: impl Into<String>,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name(name.into()).stack_size(bytes).spawn(work)
}

//! The primitives under a model, and how one is run.

use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

pub use loom::future::block_on;
pub use loom::sync::{Mutex, MutexGuard};
pub use loom::thread;

/// Runs a model in every order of its threads' steps in which threads are interrupted so many times at most. Waiting
/// for a lock or a wake-up is no interruption.
///
/// The process ends where the model panics in one of them, or all of its threads wait: the first failure is what is
/// printed, and what a checker that has failed leaves behind cannot be dropped.
pub fn explore(name: &str, interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    static HOOK: Once = Once::new();
    // Before the checker starts a thread: it has a hook of its own, for panics that are none.
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            print(panic);
            std::process::exit(101);
        }));
    });
    let mut builder = loom::model::Builder::new();
    // The variables of the environment shall not change what a run means.
    builder.preemption_bound = Some(interruptions);
    builder.max_permutations = None;
    builder.max_duration = None;
    builder.max_branches = 20_000;
    let orders = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&orders);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let orders = orders.load(Ordering::Relaxed);
    #[expect(clippy::print_stdout, reason = "only tests are built with this file")]
    {
        println!("{name}: {orders} orders");
    }
}

/// Atomics each use of which reads the latest value.
///
/// The checker's own loads try older values too, which the orderings would allow. But a load and a later store of the
/// same thread hide another thread's load from its search, so that it leaves out orders; and it lets a plain store
/// come before the swap that it has to follow. Here all uses are swaps to it, and neither is possible.
pub mod atomic {
    pub use std::sync::atomic::Ordering;

    macro_rules! atomics {
        ($($name:ident $number:ty),*) => {$(
            /// As the standard library's.
            #[derive(Debug, Default)]
            pub struct $name(loom::sync::atomic::$name);

            #[allow(dead_code, missing_docs)]
            impl $name {
                pub fn new(value: $number) -> $name {
                    $name(loom::sync::atomic::$name::new(value))
                }

                pub fn load(&self, _: Ordering) -> $number {
                    self.0.fetch_add(0, Ordering::AcqRel)
                }

                pub fn store(&self, value: $number, _: Ordering) {
                    self.0.swap(value, Ordering::AcqRel);
                }

                pub fn into_inner(self) -> $number {
                    self.0.into_inner()
                }

                pub fn swap(&self, value: $number, _: Ordering) -> $number {
                    self.0.swap(value, Ordering::AcqRel)
                }

                pub fn fetch_add(&self, value: $number, _: Ordering) -> $number {
                    self.0.fetch_add(value, Ordering::AcqRel)
                }

                pub fn fetch_sub(&self, value: $number, _: Ordering) -> $number {
                    self.0.fetch_sub(value, Ordering::AcqRel)
                }

                pub fn fetch_min(&self, value: $number, _: Ordering) -> $number {
                    self.0.fetch_min(value, Ordering::AcqRel)
                }

                pub fn fetch_max(&self, value: $number, _: Ordering) -> $number {
                    self.0.fetch_max(value, Ordering::AcqRel)
                }

                pub fn fetch_update(
                    &self,
                    _: Ordering,
                    _: Ordering,
                    next: impl FnMut($number) -> Option<$number>,
                ) -> Result<$number, $number> {
                    self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
                }

                pub fn compare_exchange_weak(
                    &self,
                    from: $number,
                    to: $number,
                    _: Ordering,
                    _: Ordering,
                ) -> Result<$number, $number> {
                    self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
                }
            }
        )*};
    }

    atomics!(AtomicU32 u32, AtomicU64 u64, AtomicUsize usize);
}

/// One end of a channel, as the checker sees it. The channels are tokio's, whose insides it does not know: each use of
/// one, and the end of each end, is one step, which it orders against those of the other end.
#[derive(Debug)]
struct End(Arc<atomic::AtomicUsize>);

impl End {
    fn pair() -> (End, End) {
        let steps = Arc::new(atomic::AtomicUsize::new(0));
        (End(Arc::clone(&steps)), End(steps))
    }

    fn step(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Clone for End {
    fn clone(&self) -> End {
        End(Arc::clone(&self.0))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.step();
    }
}

/// A channel for one message.
pub mod oneshot {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::End;
    pub use tokio::sync::oneshot::error;

    /// As tokio's.
    #[derive(Debug)]
    pub struct Sender<T> {
        // Dropped first, as a step of its own before the other end hears of it.
        end: End,
        inner: tokio::sync::oneshot::Sender<T>,
    }

    /// As tokio's.
    #[derive(Debug)]
    pub struct Receiver<T> {
        end: End,
        inner: tokio::sync::oneshot::Receiver<T>,
    }

    /// As tokio's.
    pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (inner, receiver) = tokio::sync::oneshot::channel();
        let (end, other) = End::pair();
        (Sender { end, inner }, Receiver { end: other, inner: receiver })
    }

    impl<T> Sender<T> {
        /// As tokio's.
        pub fn send(self, message: T) -> Result<(), T> {
            drop(self.end);
            self.inner.send(message)
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, error::RecvError>;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            self.end.step();
            Pin::new(&mut self.inner).poll(cx)
        }
    }
}

/// A channel of many messages.
pub mod mpsc {
    use super::End;
    pub use tokio::sync::mpsc::error;

    /// As tokio's.
    #[derive(Debug)]
    pub struct Sender<T> {
        end: End,
        inner: tokio::sync::mpsc::Sender<T>,
    }

    /// As tokio's.
    #[derive(Debug)]
    pub struct Receiver<T> {
        end: End,
        inner: tokio::sync::mpsc::Receiver<T>,
    }

    /// As tokio's.
    pub fn channel<T>(room: usize) -> (Sender<T>, Receiver<T>) {
        let (inner, receiver) = tokio::sync::mpsc::channel(room);
        let (end, other) = End::pair();
        (Sender { end, inner }, Receiver { end: other, inner: receiver })
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Sender<T> {
            Sender { end: self.end.clone(), inner: self.inner.clone() }
        }
    }

    impl<T> Sender<T> {
        /// As tokio's.
        pub fn try_send(&self, message: T) -> Result<(), error::TrySendError<T>> {
            self.end.step();
            self.inner.try_send(message)
        }
    }

    impl<T> Receiver<T> {
        /// As tokio's.
        pub async fn recv(&mut self) -> Option<T> {
            self.end.step();
            self.inner.recv().await
        }

        /// As tokio's.
        pub fn try_recv(&mut self) -> Result<T, error::TryRecvError> {
            self.end.step();
            self.inner.try_recv()
        }
    }
}

//! What threads share state with: locks, atomics and channels, for the code that has models of its interleavings.
//!
//! These are the standard library's and tokio's, re-exported. Only where `./dev models` builds the unit tests are they
//! those of the model checker, which runs a model in every order of the steps that threads take on them: the code
//! under a model is the code that ships. Docs: `docs/decisions/0015-models-of-threads.md`.

#[cfg(not(all(test, feature = "models")))]
pub use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(all(test, feature = "models")))]
pub use tokio::sync::{mpsc, oneshot};

#[cfg(all(test, feature = "models"))]
pub mod testing;
#[cfg(all(test, feature = "models"))]
pub use testing::{Mutex, MutexGuard, atomic, mpsc, oneshot};

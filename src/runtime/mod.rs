//! The clock, timers, tasks, threads, randomness and hash seeds of the process, in one place.
//!
//! Nothing outside this room reads a clock, draws a random number, starts a task or seeds a hash map by other means:
//! what decides about time and chance can then be replaced as a whole. `tests/tidy` holds that.
//!
//! - [`clock::now`] is the reading of the poll that is running: a task reads the clock once a poll, however often its
//!   code asks. [`clock::read`] asks the machine, for decisions that are taken under a lock.
//! - [`time`] has the timers, [`task`] starts tasks and threads, [`random`] draws, [`hash`] has maps and sets with
//!   secret seeds.
//! - [`sync`] has what threads share state with, where models of their interleavings look at it.

pub mod clock;
pub mod hash;
pub mod random;
pub mod sync;
pub mod task;
pub mod time;

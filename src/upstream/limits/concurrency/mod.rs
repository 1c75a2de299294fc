//! How many calls an upstream may have under way at once, and who waits for a place.

pub mod adaptive;
pub mod gate;

pub use gate::{Admitted, Gate, Limit, Permit, Refused, Taken};

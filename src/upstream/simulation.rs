//! What the machines of this room do together, in made-up time.

mod tests;

//! One request and its answer: the words every room speaks.

pub mod target;

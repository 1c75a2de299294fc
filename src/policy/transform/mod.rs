//! Policies that change what passes.

pub mod shape;

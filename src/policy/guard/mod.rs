//! Policies that guard by where a request comes from, before anybody asks who sent it.

pub mod cors;

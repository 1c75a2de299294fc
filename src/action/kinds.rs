//! Every action whose body is a map of its own; `upstream` is read with its route.

use crate::config::Kind;

use super::{Build, aggregate, redirect, respond};

/// The kinds of actions.
pub static KINDS: &[Kind<Build>] = &[aggregate::KIND, redirect::KIND, respond::KIND];

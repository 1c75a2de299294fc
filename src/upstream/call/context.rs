//! What a call carries from attempt to attempt.

use std::cell::{Cell, RefCell};

use crate::exchange::Attempts;
use crate::upstream::endpoints::set::{Seen, Tried};
use crate::upstream::{Caller, Deadline, Upstream};

/// One call on its way: what does not change while it is attempted.
pub(super) struct Call<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) caller: Caller<'a>,
    pub(super) seen: Seen<'a>,
    /// Of what calls of one kind have in common, for `consistent_hash`.
    pub(super) key: Option<u64>,
    /// Whether doing it twice is the same as doing it once.
    pub(super) repeatable: bool,
    /// Whether it probes a half-open breaker.
    pub(super) is_probe: bool,
    pub(super) deadline: Deadline,
    /// Where attempts are noted.
    pub(super) attempts: &'a Attempts,
    /// Whether a second attempt may run at the same time as the one under way.
    pub(super) hedges: Cell<bool>,
    /// Endpoints that had their chance, shared by an attempt and its hedge.
    pub(super) tried: RefCell<Tried>,
}

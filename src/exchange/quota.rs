//! What rate limits have said of an exchange, and what it holds of them: plain numbers, told apart by the place of a
//! limit among those of the rule.

use smallvec::SmallVec;

/// The state of one limit after it was asked, for the headers of the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Which of the rule's limits.
    pub place: u16,
    /// How many permits a window admits: of the tier that counted.
    pub limit: u64,
    /// Whether it has refused the request.
    pub refused: bool,
    /// How many are left.
    pub remaining: u64,
    /// Seconds until more is left, rounded up.
    pub reset: u64,
    /// When that is, as Unix time in seconds, rounded up; 0 where no field tells it.
    pub resets_at: u64,
    /// The base64 text that tells budgets of one limit apart, where it is told.
    pub partition: Option<[u8; 16]>,
}

/// Permits that were taken and may have to be given back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permit {
    /// Which of the rule's limits.
    pub place: u16,
    /// Which of its tiers.
    pub tier: u16,
    /// Whose budget.
    pub key: SmallVec<[u8; 64]>,
    /// How many.
    pub cost: u64,
    /// When, on the clock of the store that counted them.
    pub at_us: u64,
    /// Tells the stores behind one limit apart.
    pub origin: u8,
}

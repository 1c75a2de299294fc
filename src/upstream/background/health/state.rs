//! When results change what is thought of an endpoint.

/// The state of one endpoint.
///
/// It begins as healthy. The first result counts alone, so that a new endpoint that is not ready yet is set aside at
/// once; after it, only so many equal results in a row change the state.
#[derive(Clone, Debug)]
pub struct Checked {
    healthy_after: u32,
    unhealthy_after: u32,
    healthy: bool,
    known: bool,
    /// Results in a row that speak against the state.
    against: u32,
}

impl Checked {
    /// An endpoint; `known` is whether it was healthy, where it has been checked before. A threshold of 0 means 1.
    pub fn new(healthy: u32, unhealthy: u32, known: Option<bool>) -> Checked {
        Checked {
            healthy_after: healthy.max(1),
            unhealthy_after: unhealthy.max(1),
            healthy: known.unwrap_or(true),
            known: known.is_some(),
            against: 0,
        }
    }

    /// Whether it counts as healthy.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// Takes a result in; the new state where it has changed.
    pub fn seen(&mut self, good: bool) -> Option<bool> {
        let first = !std::mem::replace(&mut self.known, true);
        if good == self.healthy {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if self.healthy { self.unhealthy_after } else { self.healthy_after };
        if !first && self.against < needed {
            return None;
        }
        self.against = 0;
        self.healthy = good;
        Some(good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The changes that a row of results brings: `+` for a good one.
    fn changes(results: &str) -> String {
        let mut checked = Checked::new(2, 3, None);
        let mut change = |result: char| match checked.seen(result == '+') {
            None => '.',
            Some(true) => 'H',
            Some(false) => 'U',
        };
        results.chars().map(&mut change).collect()
    }

    #[test]
    fn only_results_in_a_row_change_the_state() {
        assert_eq!(changes("+--+--+---"), ".........U");
        assert_eq!(changes("+---+-+-++"), "...U.....H");
        assert_eq!(changes("+---++---"), "...U.H..U");
    }

    #[test]
    fn the_first_result_counts_alone() {
        assert_eq!(changes("-+-++"), "U...H");
        assert_eq!(changes("+-"), "..");
        assert!(Checked::new(2, 3, None).is_healthy(), "nothing is known against it");
    }

    #[test]
    fn what_was_known_before_takes_as_many_results_to_change() {
        let mut checked = Checked::new(2, 3, Some(false));
        assert_eq!([true, true].map(|good| checked.seen(good)), [None, Some(true)]);
        let mut checked = Checked::new(2, 3, Some(true));
        assert_eq!([false; 3].map(|good| checked.seen(good)), [None, None, Some(false)]);
    }

    #[test]
    fn no_threshold_is_one() {
        let mut checked = Checked::new(0, 0, None);
        assert_eq!([true, false, true].map(|good| checked.seen(good)), [None, Some(false), Some(true)]);
    }
}

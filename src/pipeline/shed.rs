//! Whether the process takes one more request: new ones are refused where it has too much to do, what is under way goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::config::Overload;
use crate::exchange::{Error, ErrorKind};

/// What the process has to do; one for all cores.
#[derive(Default, Debug)]
pub struct Shed {
    in_flight: AtomicU64,
    full: AtomicBool,
}

/// A request under way; it ends when this is dropped.
pub struct InFlight(Arc<Shed>);

impl Shed {
    /// Notes whether the memory of the process is over its bound; for a timer, off the path.
    pub fn notes(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Takes one more request. Nothing is counted where nothing is bounded.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`].
    pub fn take(self: &Arc<Shed>, bounds: &Overload) -> Result<Option<InFlight>, Error> {
        if bounds.max_memory.is_some() && self.full.load(Ordering::Relaxed) {
            return Err(overloaded("memory"));
        }
        let Some(most) = bounds.max_in_flight else { return Ok(None) };
        let place = InFlight(Arc::clone(self));
        // Counted before it is judged: two cores can never both take the last place.
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= most {
            return Err(overloaded("in_flight"));
        }
        Ok(Some(place))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn overloaded(reason: &'static str) -> Error {
    Error::new(ErrorKind::Overloaded).reason(reason).header("retry-after", "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_under_way_than_may_be() {
        let shed = Arc::new(Shed::default());
        let bounds = Overload { max_in_flight: Some(2), ..Overload::default() };
        let (one, two) = (shed.take(&bounds).unwrap(), shed.take(&bounds).unwrap());
        assert_eq!(shed.take(&bounds).err().map(|error| error.kind()), Some(ErrorKind::Overloaded));
        drop(one);
        assert!(shed.take(&bounds).unwrap().is_some());
        drop(two);
        assert!(shed.take(&Overload::default()).unwrap().is_none(), "nothing is counted without need");
    }

    #[test]
    fn memory_counts_where_it_is_bounded() {
        let shed = Arc::new(Shed::default());
        let bounds = Overload { max_memory: Some(1), ..Overload::default() };
        shed.notes(true);
        assert!(shed.take(&bounds).is_err());
        assert!(shed.take(&Overload::default()).is_ok());
        shed.notes(false);
        assert!(shed.take(&bounds).is_ok());
    }
}

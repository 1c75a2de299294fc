//! The sessions of one endpoint. A core opens streams on its own ones; beyond a few sessions, cores share them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::exchange::CoreId;
use crate::runtime::clock;

use super::session::{MAX_STREAMS, Session, Slot};
use super::waiting::Waiting;

/// So many sessions are opened by cores for themselves. Beyond, a core uses those of others as long as they have room.
const OWN: usize = 8;

/// The most sessions with one endpoint that take new streams. Those whose last streams are still open, for hours it may
/// be, do not count: they would keep new ones out.
const MOST: usize = 64;

/// The sessions of one endpoint.
pub(super) struct Sessions {
    lists: Box<[List]>,
    all: Mutex<All>,
    waiting: Arc<Waiting>,
}

// One core alone takes from its list, so the lock is waited for only where a session ends; the padding keeps two cores
// off one cache line.
#[repr(align(128))]
#[derive(Default)]
struct List(Mutex<Vec<Arc<Session>>>);

struct All {
    sessions: Vec<Arc<Session>>,
    /// The cores that are opening one.
    opening: Vec<CoreId>,
    /// How many streams the last one allowed.
    allows: usize,
}

/// How a stream gets a place.
pub(super) enum Next<'a> {
    /// Here.
    Slot(Slot),
    /// On a session that is to be opened.
    Open(Opening<'a>),
    /// A session is being opened that will have room; or none may be opened any more (`full`), and a stream has to end
    /// first.
    Wait { full: bool },
}

/// A session that is being opened. Dropped before it is there, those who wait for it look for themselves.
pub(super) struct Opening<'a> {
    sessions: &'a Arc<Sessions>,
    core: CoreId,
}

impl Sessions {
    /// None yet, for so many cores.
    pub(super) fn new(cores: usize) -> Arc<Sessions> {
        let all = All { sessions: Vec::new(), opening: Vec::new(), allows: MAX_STREAMS };
        Arc::new(Sessions {
            lists: (0..cores.max(1)).map(|_| List::default()).collect(),
            all: Mutex::new(all),
            waiting: Arc::default(),
        })
    }

    /// Those who wait for a place.
    pub(super) fn waiting(&self) -> &Arc<Waiting> {
        &self.waiting
    }

    fn list(&self, core: CoreId) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.lists[core.0 % self.lists.len()].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place on a session of this core: on the oldest that has one, so that the others come to rest.
    pub(super) fn take(&self, core: CoreId, now: Instant) -> Option<Slot> {
        self.list(core).iter().find_map(|session| session.enter(false, now))
    }

    /// How a stream of this core gets a place; `proven` as for [`Session::enter`]. The one who asks counts among those who
    /// wait.
    pub(super) fn next<'a>(self: &'a Arc<Self>, core: CoreId, proven: bool, now: Instant) -> Next<'a> {
        let enter = |session: &Arc<Session>| session.enter(proven, now);
        if let Some(slot) = self.list(core).iter().find_map(enter) {
            return Next::Slot(slot);
        }
        let mut all = self.all();
        let current = all.sessions.iter().filter(|session| session.state.is_current(now)).count();
        let count = current + all.opening.len();
        let shares = count >= OWN;
        if shares && let Some(slot) = all.sessions.iter().find_map(enter) {
            return Next::Slot(slot);
        }
        let opening = all.opening.iter().filter(|other| shares || **other == core).count();
        // Each that is being opened has room for the one who opens it, and for some of those who wait.
        let expected = opening * all.allows.saturating_sub(1);
        if expected >= self.waiting.count() {
            return Next::Wait { full: false };
        }
        if count >= MOST {
            return Next::Wait { full: all.opening.is_empty() };
        }
        all.opening.push(core);
        Next::Open(Opening { sessions: self, core })
    }

    /// A session has been opened; the first place on it. `None` where it has ended already.
    pub(super) fn add(&self, session: Arc<Session>) -> Option<Slot> {
        let slot = session.enter(false, clock::now());
        self.list(session.state.core).push(Arc::clone(&session));
        let mut all = self.all();
        all.allows = session.state.limit().max(1);
        all.sessions.push(session);
        slot
    }

    /// What was opened speaks HTTP/1.1 and carries one exchange at a time: nobody waits for what others open.
    pub(super) fn carried_one(&self) {
        self.all().allows = 1;
    }

    /// How many sessions there are, and how many streams are open on them.
    pub(super) fn count(&self) -> (usize, usize) {
        let all = self.all();
        (all.sessions.len(), all.sessions.iter().map(|session| session.state.open()).sum())
    }

    /// A session takes no new streams.
    pub(super) fn remove(&self, session: &Arc<Session>) {
        let is_other = |other: &Arc<Session>| !Arc::ptr_eq(other, session);
        self.list(session.state.core).retain(is_other);
        self.all().sessions.retain(is_other);
        self.waiting.all();
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut all = self.sessions.all();
        if let Some(at) = all.opening.iter().position(|core| *core == self.core) {
            all.opening.swap_remove(at);
        }
        drop(all);
        self.sessions.waiting.all();
    }
}

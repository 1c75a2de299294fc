//! Idle connections to one endpoint, a list for each core: a connection stays with the runtime that opened it.
//!
//! The pool knows no protocol: what rests in it is a [`Session`]. A session that the service closes while it rests is
//! dropped at once, for its socket wakes the list it lies in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::exchange::CoreId;
use crate::runtime::clock;

/// A session that has been idle this long is closed: services commonly close theirs after a minute.
pub const MAX_IDLE: Duration = Duration::from_secs(55);

/// How many idle sessions a core keeps for one endpoint.
const MAX_KEPT: usize = 256;

/// What can rest in a pool.
pub trait Session: Send + 'static {
    /// Prepares it for rest, which begins now.
    fn rest(&mut self, now: Instant);

    /// Whether it can carry an exchange: it rests, is not too old, and the service has neither closed it nor spoken.
    fn is_usable(&mut self, now: Instant) -> bool;

    /// Ready where the service has closed it or spoken; until then the waker is called when it does.
    fn poll_disturbed(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// The idle sessions of one endpoint.
pub struct Pool<S> {
    lists: Box<[List<S>]>,
}

// One core alone takes from its list, so the lock is waited for only after a reload; the padding keeps two cores off
// one cache line.
#[repr(align(128))]
struct List<S> {
    idle: Mutex<Vec<Box<S>>>,
    /// Called by the socket of any session in the list.
    waker: Waker,
}

/// Drops what has become unusable in one list. It runs where the socket's event is seen: on the core of the list.
struct Watch<S> {
    pool: Weak<Pool<S>>,
    core: CoreId,
}

impl<S: Session> Wake for Watch<S> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(pool) = self.pool.upgrade() {
            pool.disturbed(self.core, clock::now());
        }
    }
}

impl<S: Session> Pool<S> {
    /// A pool for so many cores.
    pub fn new(cores: usize) -> Arc<Pool<S>> {
        Arc::new_cyclic(|pool: &Weak<Pool<S>>| {
            let list = |core| List {
                idle: Mutex::new(Vec::new()),
                waker: Waker::from(Arc::new(Watch { pool: Weak::clone(pool), core: CoreId(core) })),
            };
            Pool { lists: (0..cores.max(1)).map(list).collect() }
        })
    }

    fn list(&self, core: CoreId) -> &List<S> {
        &self.lists[core.0 % self.lists.len()]
    }

    /// The session that was used last and is still usable: the others then grow old and are closed.
    // In place, for every call.
    #[inline(always)]
    pub fn take(&self, core: CoreId, now: Instant) -> Option<Box<S>> {
        let mut idle = self.list(core).lock();
        while let Some(mut session) = idle.pop() {
            if session.is_usable(now) {
                return Some(session);
            }
        }
        None
    }

    /// Puts a session back whose last exchange is over.
    pub fn put(&self, core: CoreId, mut session: Box<S>, now: Instant) {
        let list = self.list(core);
        session.rest(now);
        // Before the lock is taken: a runtime that is short of time calls the waker from within.
        if !watched(&mut *session, &list.waker, now) {
            return;
        }
        let mut idle = list.lock();
        if idle.len() < MAX_KEPT {
            idle.push(session);
        }
    }

    /// Drops what is not usable any more. What stays is watched again: a runtime that was short of time may not have
    /// begun to.
    pub fn sweep(&self, core: CoreId, now: Instant) {
        let list = self.list(core);
        let mut idle = std::mem::take(&mut *list.lock());
        idle.retain_mut(|session| session.is_usable(now) && watched(&mut **session, &list.waker, now));
        let mut kept = list.lock();
        // Nothing else runs on this core meanwhile, but for the waker, which finds an empty list.
        idle.append(&mut kept);
        *kept = idle;
    }

    /// Drops what is not usable any more, called by the socket of one session.
    fn disturbed(&self, core: CoreId, now: Instant) {
        self.list(core).lock().retain_mut(|session| session.is_usable(now));
    }

    /// How many sessions rest on a core.
    #[cfg(test)]
    pub fn resting(&self, core: CoreId) -> usize {
        self.list(core).lock().len()
    }
}

impl<S> List<S> {
    fn lock(&self) -> MutexGuard<'_, Vec<Box<S>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a session is usable; its socket calls the waker from now on.
fn watched<S: Session>(session: &mut S, waker: &Waker, now: Instant) -> bool {
    let mut cx = Context::from_waker(waker);
    // The runtime may still hold a wake-up from before the session was read empty: a look at the socket clears it.
    session.poll_disturbed(&mut cx).is_pending()
        || (session.is_usable(now) && session.poll_disturbed(&mut cx).is_pending())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session that is closed from outside.
    #[derive(Default)]
    struct Held {
        closed: Arc<Mutex<(bool, Option<Waker>)>>,
    }

    impl Session for Held {
        fn rest(&mut self, _: Instant) {}

        fn is_usable(&mut self, _: Instant) -> bool {
            !self.closed.lock().unwrap().0
        }

        fn poll_disturbed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            let mut closed = self.closed.lock().unwrap();
            if closed.0 {
                return Poll::Ready(());
            }
            closed.1 = Some(cx.waker().clone());
            Poll::Pending
        }
    }

    #[test]
    fn a_session_that_closes_while_it_rests_is_dropped_at_once() {
        let (pool, core, now) = (Pool::<Held>::new(2), CoreId(1), Instant::now());
        let closing = Box::new(Held::default());
        let closed = Arc::clone(&closing.closed);
        pool.put(core, closing, now);
        pool.put(core, Box::new(Held::default()), now);
        assert_eq!((pool.resting(core), pool.resting(CoreId(0))), (2, 0));
        let waker = {
            let mut closed = closed.lock().unwrap();
            closed.0 = true;
            closed.1.take().unwrap()
        };
        waker.wake();
        assert_eq!(pool.resting(core), 1, "nobody had to take or sweep it");
        assert!(pool.take(CoreId(0), now).is_none(), "a core has its own");
        assert!(pool.take(core, now).is_some());
    }

    #[test]
    fn a_session_that_is_closed_already_is_not_kept() {
        let (pool, now) = (Pool::<Held>::new(1), Instant::now());
        let held = Box::new(Held::default());
        held.closed.lock().unwrap().0 = true;
        pool.put(CoreId(0), held, now);
        assert_eq!(pool.resting(CoreId(0)), 0);
    }
}

//! A connection that is lent for one exchange, and goes back to its pool by itself.

use std::sync::Arc;
use std::time::Instant;

use crate::exchange::CoreId;
use crate::upstream::transport::connection::Connection;
use crate::upstream::transport::pool::Pool;

/// The idle connections of one endpoint.
pub(super) type Connections = Pool<Connection>;

/// A connection and the pool it returns to: borrowed while only the head is awaited, shared while a body is read. It
/// returns when it is dropped after [`Lent::settle`]; dropped before, it is closed.
pub(super) struct Lent<P: AsRef<Connections>> {
    connection: Option<Box<Connection>>,
    pool: P,
    core: CoreId,
    settled: Option<Instant>,
}

impl<P: AsRef<Connections>> Lent<P> {
    pub(super) fn new(connection: Box<Connection>, pool: P, core: CoreId) -> Lent<P> {
        Lent { connection: Some(connection), pool, core, settled: None }
    }

    /// Whether the connection is there: not after its body ended or failed.
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_deref_mut()
    }

    /// Takes the connection out: it does not go back.
    pub(super) fn take(&mut self) -> Option<Box<Connection>> {
        self.connection.take()
    }

    /// The exchange is over, and the connection can carry the next one.
    pub(super) fn settle(&mut self, now: Instant) {
        self.settled = Some(now);
    }

    /// Ends the lease now: the connection goes back, or is closed.
    pub(super) fn end(&mut self) {
        if let (Some(connection), Some(now)) = (self.connection.take(), self.settled) {
            self.pool.as_ref().put(self.core, connection, now);
        }
    }
}

impl Lent<&Arc<Connections>> {
    /// The same lease, as one that may outlive the call.
    pub(super) fn shared(mut self) -> Lent<Arc<Connections>> {
        Lent {
            connection: self.connection.take(),
            pool: Arc::clone(self.pool),
            core: self.core,
            settled: self.settled.take(),
        }
    }
}

impl<P: AsRef<Connections>> Drop for Lent<P> {
    fn drop(&mut self) {
        self.end();
    }
}

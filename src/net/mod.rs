//! Connections as both ends of the gate use them: reads that fill a buffer or lend their bytes, writes that go out in one piece, and a timer
//! that costs nothing while nothing is late.
//!
//! Knows nothing of HTTP. The listener and the transports share it. Only this room names the sockets of the system: a
//! [`Stream`] may as well be a connection in memory, and a [`Network`] the place where those are opened.

pub mod facts;
pub mod lent;
pub mod network;
pub mod outbox;
pub mod stream;
pub mod timer;
pub mod tls;

pub use facts::{Facts, TlsFacts};
pub use lent::ReadBuffer;
pub use network::{Dial, Listener, Network};
pub use outbox::Outbox;
pub use stream::{Detached, Duplex, Stream};
pub use timer::Timer;

//! What the gate tells of itself: the access log, the metrics and the operator's log.
//!
//! Nothing here may slow the path down: lines go to one writer thread through a bounded queue and are counted where
//! they do not fit, and every counter belongs to one core and is summed when it is read. This room decides no
//! request and opens no standard stream but the one the access log was told to write to.
//!
//! Start with [`access_log::AccessLog`] for lines, [`metrics::Metrics`] for numbers, [`log::OperatorLog`] for events.

pub mod access_log;
mod escape;
pub mod fields;
pub mod format;
pub mod log;
pub mod metrics;
pub mod repeat;
mod stamp;
mod worker;
mod writer;

pub use access_log::{AccessLog, AccessLogSettings, CoreLog};
pub use format::{Entry, Format};
pub use log::OperatorLog;
pub use metrics::Metrics;
pub use stamp::rfc3339;

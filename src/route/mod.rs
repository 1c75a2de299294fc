//! Which rule answers a request: patterns compiled into a table, and the conditions that choose among the
//! alternatives of one pattern. This room knows no policy and no action; a table carries whatever it is given.
//! Start reading at `table.rs`.

mod hash;
mod host;
mod methods;
mod pattern;
mod predicate;
mod subject;
mod table;
mod tree;

pub use host::{HostError, HostList};
pub use methods::{Methods, MethodsError};
pub use pattern::{Pattern, PatternError, Segment};
pub use predicate::{Condition, Expect, Failing, Predicate, Subject};
pub use table::{Clash, Found, Layer, Matched, Table, TableBuilder};
pub use tree::Spans;

//! Asking endpoints how they are: HTTP, gRPC's health protocol, or a mere connection.
//!
//! One prober an endpoint and process, never one a core: what it learns is shared. An endpoint of which nothing is known
//! counts as healthy until its first result, and that result counts alone; from then on a change of state takes
//! several equal results in a row ([`Checked`]).

mod grpc;
mod http;
mod http2;
pub mod prober;
mod settings;
mod state;

pub use prober::{Change, Report, probe};
pub use settings::{HealthSettings, HttpProbe, Kind};
pub use state::Checked;

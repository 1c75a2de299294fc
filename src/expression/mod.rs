//! The one expression language of the configuration: CEL conditions, values and the braces of templates.
//!
//! Everything is compiled when a configuration is loaded ([`Expression`], [`Template`], [`JsonTemplate`]) and judged
//! against the names its place knows ([`Scope`]); an exchange is only read. Plain member paths and the simple shapes
//! over them are read in place by a small tree (`node.rs`); what is left goes to the interpreter of the `cel` crate,
//! with every native part already cut out of it, so that only what is read is ever converted.

mod budget;
mod check;
mod compiled;
mod convert;
mod encode;
mod environment;
mod error;
mod facts;
mod functions;
mod ground;
mod interpret;
mod json;
pub mod load;
mod lower;
mod map;
mod node;
mod numbers;
mod origin;
mod parse;
mod path;
mod resolve;
mod rewrite;
mod scope;
mod stock;
mod template;
mod texts;
mod times;
mod value;

pub use compiled::Expression;
pub use encode::encode as encode_value;
pub use error::{CompileError, EvalError};
pub use ground::{Answered, Ground};
pub use json::{JsonPart, JsonTemplate};
pub use scope::{Reference, Scope};
pub use template::{Place, Segment, Template};

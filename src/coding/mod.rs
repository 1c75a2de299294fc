//! The content codings of answers (RFC 9110 section 8.4), decoding only: `gzip` (RFC 1952), `deflate` (zlib, RFC 1950),
//! `br` (RFC 7932) and `zstd` (RFC 8878).
//!
//! The gate asks its services for plain answers; what comes coded all the same is decoded here before it is read.
//! A few bytes may stand for gigabytes, so nothing here writes further than it was allowed to:
//! - [`codings`] reads Content-Encoding,
//! - [`Decoder`] undoes it piece by piece, into a buffer with a bound,
//! - [`decoded`] is a body that is decoded as it is pulled.
//!
//! What memory a decoder keeps does not depend on how long the answer is: the window of its format (32 KiB for
//! `gzip` and `deflate`, at most 16 MiB for `br` and for `zstd`) and its tables. What it says depends on the bytes
//! alone, not on how the network cut them up. A body without any byte is a body without any byte in every coding, as
//! answers without content are often labelled as well.

mod body;
mod brotli;
mod decoder;
mod fault;
mod inflate;
mod names;
#[cfg(test)]
mod testing;
mod zstd;

pub use body::decoded;
pub use decoder::Decoder;
pub use fault::Fault;
pub use names::{Coding, UnknownCoding, codings};

//! Shapes: what becomes of a JSON answer on its way to the client.
//!
//! Start with [`Shape`]. `read.rs` reads one from the configuration, `stream.rs` runs it over a body that comes in pieces,
//! `head.rs` makes the head true again. The rules themselves are the room `json`'s.

mod head;
pub mod read;
mod stream;

use std::sync::Arc;

use crate::exchange::{Body, Error, ErrorKind, JsonValue};
use crate::expression::{Expression, Ground};
use crate::json::{Path, Rules, Selection};

pub use head::{mend, weaken};
use stream::selected;
pub use stream::with_tail;

/// The largest answer that `body` reads, in bytes: it becomes a tree.
pub const MAX_READ: u64 = 1024 * 1024;

/// What a shape does, compiled.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The rules as written.
    pub rules: Rules,
    /// `unwrap`, `keep`, `omit`, `rename` and `wrap`, where one of them is written.
    pub selection: Option<Arc<Selection>>,
    /// `body`: makes the whole anew.
    pub body: Option<Arc<Expression>>,
}

impl Shape {
    /// The same shape, which gives the whole answer no member of that name: for a member that the gate itself adds.
    #[must_use]
    pub fn guarded(&self, name: &str) -> Shape {
        let mut rules = self.rules.clone();
        let mut selection = self.selection.clone();
        let own = Path::of(name);
        // What is unwrapped is a service's own object.
        let mut gone = if rules.unwrap.is_empty() { Vec::new() } else { vec![own] };
        rules.rename.retain(|(path, new)| {
            let takes = new == name && path.steps().len() == 1;
            if takes {
                gone.push(path.clone());
            }
            !takes
        });
        if !gone.is_empty() {
            rules.omit.append(&mut gone);
            // A path more to be dropped, or a new name less, makes no conflict.
            selection = Selection::new(&rules).ok().map(Arc::new).or(selection);
        }
        Shape { rules, selection, body: self.body.clone() }
    }

    /// Applies the rules but `body` to an answer that comes in pieces: the answer that comes out, whole where it is short.
    /// Ends with the first bytes that can be sent on, so that what is wrong from the start can still be told.
    ///
    /// # Errors
    /// [`ErrorKind::UpstreamFailure`]: the answer is no JSON. Or what broke it off.
    pub async fn select(&self, body: Body) -> Result<Body, Error> {
        match &self.selection {
            Some(selection) => selected(body, Arc::clone(selection)).await,
            None => Ok(body),
        }
    }

    /// Makes the answer anew by `body`, where it is written.
    ///
    /// # Errors
    /// [`ErrorKind::UpstreamFailure`]: something that it reads is not there.
    pub fn remake(&self, ground: Ground<'_>) -> Result<Option<JsonValue>, Error> {
        let Some(body) = &self.body else { return Ok(None) };
        let made = body.value(ground);
        made.map(Some).map_err(|error| Error::new(ErrorKind::UpstreamFailure).reason("shape").source(error))
    }
}

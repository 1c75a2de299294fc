//! What an action is, in words: for those who ask what a request would meet, without sending it.

use crate::exchange::Error;

/// An action in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The key that writes it: `upstream`, `aggregate`, `redirect`, `respond`; empty where there is none.
    pub kind: &'static str,
    /// What it does with the request at hand: a word for each fact, and the fact.
    pub facts: Vec<(&'static str, String)>,
    /// The lines that a service would get, where there is one service: name and value.
    pub headers: Vec<(String, String)>,
    /// What an aggregate calls, in the order written.
    pub sources: Vec<DescribedSource>,
}

impl Description {
    /// An action of this kind, of which nothing has been said yet.
    pub fn new(kind: &'static str) -> Description {
        Description { kind, facts: Vec::new(), headers: Vec::new(), sources: Vec::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, what: &'static str, is: impl Into<String>) -> Description {
        self.facts.push((what, is.into()));
        self
    }
}

/// One source of an aggregate in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedSource {
    /// Its name.
    pub name: String,
    /// Whom it calls.
    pub upstream: String,
    /// The method.
    pub method: String,
    /// Its path as written.
    pub path: String,
    /// The target it would ask for, where that can be told before anything is called; else why not.
    pub target: Result<String, String>,
    /// The names of the sources it waits for.
    pub needs: Vec<String>,
    /// What else is to be known of it: `required`, `timeout 300ms`.
    pub notes: Vec<String>,
}

/// In the place of what cannot be told: what the request would come to, and why.
pub(super) fn untold(error: &Error) -> String {
    let why = error.private_source().or(error.public_detail()).unwrap_or_default();
    format!("nothing: {} {}: {why}", error.status().as_u16(), error.kind().phrase())
}

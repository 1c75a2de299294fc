//! What an expression is evaluated against: an exchange, and what services have said in answer to it.

use std::sync::OnceLock;

use crate::exchange::{Exchange, Headers, JsonValue as Json};
use crate::json::{self, Missing, Part};
use bytes::Bytes;

/// What is read. Made from an exchange alone where no service has been asked yet.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) sources: &'a [OnceLock<Answered>],
    pub(super) item: Option<&'a Json>,
    pub(super) response: Option<&'a Answered>,
}

impl<'a> Ground<'a> {
    /// Beside the exchange the sources of an aggregate, in the order of [`super::Scope::sources`]; one that has not
    /// been set is absent.
    #[must_use]
    pub fn with_sources(self, sources: &'a [OnceLock<Answered>]) -> Ground<'a> {
        Ground { sources, ..self }
    }

    /// Beside the exchange the item of a `for_each`.
    #[must_use]
    pub fn with_item(self, item: &'a Json) -> Ground<'a> {
        Ground { item: Some(item), ..self }
    }

    /// Beside the exchange the answer on its way out.
    #[must_use]
    pub fn with_response(self, response: &'a Answered) -> Ground<'a> {
        Ground { response: Some(response), ..self }
    }
}

impl<'a> From<&'a Exchange> for Ground<'a> {
    fn from(exchange: &'a Exchange) -> Ground<'a> {
        Ground { exchange, sources: &[], item: None, response: None }
    }
}

/// What a service has said. Its body becomes a tree when it is first read, and never if it is not.
#[derive(Debug)]
pub struct Answered {
    status: Option<u16>,
    headers: Headers,
    body: Option<Bytes>,
    tree: OnceLock<Option<Json>>,
}

impl Answered {
    /// An answer: its status, its lines, and its body (JSON), each if there is one.
    pub fn new(status: Option<u16>, headers: Headers, body: Option<Bytes>) -> Answered {
        Answered { status, headers, body, tree: OnceLock::new() }
    }

    /// The status.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The lines.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The body as it came.
    pub fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// A part of the body as it stands: `None` where there is no body.
    pub(super) fn part<'p>(
        &self,
        parts: impl IntoIterator<Item = Part<'p>>,
    ) -> Option<Result<&str, Missing>> {
        let body = self.body.as_ref()?;
        // What has been checked is UTF-8, and its tokens end where characters do.
        Some(json::find(body, parts).map(|part| std::str::from_utf8(part).unwrap_or_default()))
    }

    /// The body as a tree: `None` where there is none, `Some(None)` where it cannot be read (no JSON, nested deeper than
    /// 127).
    pub(super) fn tree(&self) -> Option<Option<&Json>> {
        let body = self.body.as_ref()?;
        Some(self.tree.get_or_init(|| std::str::from_utf8(body).ok().and_then(Json::parse)).as_ref())
    }
}

#[cfg(test)]
mod tests;

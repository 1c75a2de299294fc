//! Writes the one answer: a member per source in the order written, each body's bytes as they came.

use crate::runtime::hash::HashSet;
use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::exchange::{Body, BodyStream, Error, Frame};
use crate::json::{self, unescaped};

use super::outcome::{Carried, Outcome};
use super::source::Source;

/// Up to so many bytes are copied into one piece; more are sent from where they lie.
const ONE_PIECE: usize = 64 * 1024;

const NULL: Bytes = Bytes::from_static(b"null");

/// The object of all sources, and how many members were dropped because their names were taken. `outcomes` are those of a
/// call that has not failed; `reserved` is a name that no source may give.
pub(super) fn object(
    sources: &[Source],
    outcomes: &[Option<(Outcome, u64)>],
    reserved: Option<&str>,
) -> (Body, u64) {
    let merges = sources.iter().any(|source| source.merge);
    let mut object =
        Object { pieces: Vec::with_capacity(sources.len() * 2 + 1), text: vec![b'{'], any: false };
    let mut taken: HashSet<Vec<u8>> = HashSet::default();
    let mut clashes = 0;
    if merges {
        taken.extend(reserved.map(|name| name.as_bytes().to_vec()));
    }
    for (source, outcome) in sources.iter().zip(outcomes) {
        let body = match outcome {
            None | Some((Outcome::Skipped, _)) => continue,
            Some((Outcome::Given(given), _)) => given.body.clone(),
            Some((Outcome::Failed(_), _)) => Carried::One(source.fallback.clone().unwrap_or(NULL)),
        };
        if !source.merge {
            if merges && !taken.insert(source.name.as_bytes().to_vec()) {
                clashes += 1;
                continue;
            }
            object.member(source.name.as_bytes(), body);
            continue;
        }
        let Carried::One(json) = body else { continue };
        for member in json::members(&json).unwrap_or_default() {
            let name = &json[member.name.clone()];
            if taken.insert(unescaped(name).into_owned()) {
                object.member(name, Carried::One(json.slice(member.value)));
            } else {
                clashes += 1;
            }
        }
    }
    object.text.push(b'}');
    (object.finish(), clashes)
}

/// The object while it is written: pieces that lie elsewhere, and the text between them.
struct Object {
    pieces: Vec<Bytes>,
    text: Vec<u8>,
    any: bool,
}

impl Object {
    /// Names are such that they need no escaping: identifiers, or as a service has escaped them.
    fn member(&mut self, name: &[u8], body: Carried) {
        if std::mem::replace(&mut self.any, true) {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b"\":");
        match body {
            Carried::One(json) => self.piece(json),
            Carried::List(items) => {
                self.text.push(b'[');
                for (at, item) in items.into_iter().enumerate() {
                    if at > 0 {
                        self.text.push(b',');
                    }
                    self.piece(item);
                }
                self.text.push(b']');
            }
        }
    }

    fn piece(&mut self, json: Bytes) {
        if json.len() < 1024 {
            self.text.extend_from_slice(&json);
            return;
        }
        self.pieces.push(std::mem::take(&mut self.text).into());
        self.pieces.push(json);
    }

    fn finish(mut self) -> Body {
        if self.pieces.is_empty() {
            return Body::Bytes(self.text.into());
        }
        self.pieces.push(self.text.into());
        let length = self.pieces.iter().map(Bytes::len).sum();
        if length <= ONE_PIECE {
            let mut whole = Vec::with_capacity(length);
            self.pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
            return Body::Bytes(whole.into());
        }
        self.pieces.retain(|piece| !piece.is_empty());
        Body::Stream(Box::new(Pieces { left: length as u64, pieces: self.pieces.into() }))
    }
}

/// Pieces that are sent one after the other, each freed when it is out.
struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl BodyStream for Pieces {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, Bytes::len) as u64;
        Poll::Ready(piece.map(|piece| Ok(Frame::Data(piece))))
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.left)
    }
}

//! The patterns of a table as a tree of segments: a literal child before the parameter child before `*`.

use super::hash::ByteMap;
use super::pattern::Segment;
use crate::exchange::target::percent_decode;
use smallvec::SmallVec;
use std::ops::Range;

/// The byte ranges of a path that parameters matched, from the left.
pub type Spans = SmallVec<[Range<usize>; 4]>;

/// A tree whose leaves are numbers that its owner gives out.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: Literals,
    param: Option<usize>,
    /// The leaf of the pattern that ends here.
    exact: Option<usize>,
    /// The leaf of the pattern that ends here in `*`.
    rest: Option<usize>,
}

/// The children of a node that are reached by a literal. Most nodes have one, which needs no map.
#[derive(Debug, Default)]
enum Literals {
    #[default]
    None,
    One(Box<[u8]>, usize),
    Many(ByteMap<usize>),
}

impl Literals {
    fn get(&self, name: &[u8]) -> Option<usize> {
        match self {
            Self::None => None,
            Self::One(text, child) => (**text == *name).then_some(*child),
            Self::Many(children) => children.get(name).copied(),
        }
    }

    /// The child behind `text`, which becomes `fresh` if there is none.
    fn get_or_insert(&mut self, text: &[u8], fresh: usize) -> usize {
        if let Some(known) = self.get(text) {
            return known;
        }
        *self = match std::mem::take(self) {
            Self::None => Self::One(text.into(), fresh),
            Self::One(first, child) => {
                Self::Many([(first, child), (text.into(), fresh)].into_iter().collect())
            }
            Self::Many(mut children) => {
                children.insert(text.into(), fresh);
                Self::Many(children)
            }
        };
        fresh
    }
}

/// What a lookup found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) leaf: usize,
    pub(super) spans: Spans,
    /// Where the part that `*` matched starts.
    pub(super) rest: Option<usize>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// The place of a pattern's leaf, with the nodes before it made as needed. Patterns that differ in parameter
    /// names alone have the same place.
    pub(super) fn slot(&mut self, segments: &[Segment]) -> &mut Option<usize> {
        let mut at = 0;
        for segment in segments {
            let fresh = self.nodes.len();
            let node = &mut self.nodes[at];
            let next = match segment {
                Segment::Literal(text) => node.literals.get_or_insert(text, fresh),
                Segment::Param => *node.param.get_or_insert(fresh),
                Segment::Rest => return &mut self.nodes[at].rest,
            };
            if next == fresh {
                self.nodes.push(Node::default());
            }
            at = next;
        }
        &mut self.nodes[at].exact
    }

    /// The most specific pattern that matches the whole of `path`, which is normalised and starts with `/`.
    pub(super) fn find(&self, path: &str) -> Option<Hit> {
        let mut hit = Hit::default();
        self.walk(0, path, 0, &mut hit).then_some(hit)
    }

    /// Tries the children of one node in their order. A choice is taken back where nothing below it matches the
    /// whole path; patterns bound the depth, and no node is looked at twice.
    fn walk(&self, node: usize, path: &str, at: usize, hit: &mut Hit) -> bool {
        let node = &self.nodes[node];
        if at == path.len()
            && let Some(leaf) = node.exact
        {
            hit.leaf = leaf;
            return true;
        }
        if at < path.len() {
            let segment = PathSegment::at(path, at);
            if let Some(child) = segment.child(&node.literals)
                && self.walk(child, path, segment.end, hit)
            {
                return true;
            }
            if let Some(child) = node.param
                && segment.start < segment.end
            {
                hit.spans.push(segment.start..segment.end);
                if self.walk(child, path, segment.end, hit) {
                    return true;
                }
                hit.spans.pop();
            }
        }
        if let Some(leaf) = node.rest {
            hit.leaf = leaf;
            hit.rest = Some(at);
            return true;
        }
        false
    }
}

/// One segment of a path.
struct PathSegment<'p> {
    path: &'p str,
    start: usize,
    /// Where the next `/` stands, or the path ends.
    end: usize,
    escaped: bool,
}

impl<'p> PathSegment<'p> {
    /// The segment after the `/` at `slash`.
    fn at(path: &'p str, slash: usize) -> Self {
        let start = slash + 1;
        let bytes = path.as_bytes();
        let mut escaped = false;
        let mut end = start;
        while let Some(&byte) = bytes.get(end) {
            match byte {
                b'/' => break,
                b'%' => escaped = true,
                _ => {}
            }
            end += 1;
        }
        Self { path, start, end, escaped }
    }

    fn child(&self, literals: &Literals) -> Option<usize> {
        if matches!(literals, Literals::None) {
            return None;
        }
        let name = &self.path[self.start..self.end];
        if self.escaped { literals.get(&percent_decode(name)) } else { literals.get(name.as_bytes()) }
    }
}

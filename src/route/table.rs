//! The route table: which value answers a path and a method.
//!
//! A table is built once, at load, and never changes. It knows neither policies nor actions: what it carries for
//! a route, and how alternatives of one route are chosen, is the business of whoever builds it.

use super::hash::ByteMap;
use super::methods::Methods;
use super::pattern::{Pattern, Segment};
use super::tree::{Hit, Spans, Tree};
use http::Method;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Where a route was written. On the same pattern the listener's routes replace the shared ones whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// For every listener.
    Shared,
    /// For this listener alone.
    Listener,
}

/// A compiled, immutable table of routes.
#[derive(Debug)]
pub struct Table<T> {
    tree: Tree,
    leaves: Vec<Leaf<T>>,
    /// Whole paths of patterns that are literal throughout: such a pattern always wins, so one look decides.
    statics: ByteMap<usize>,
}

/// A table in the making.
#[derive(Debug)]
pub struct TableBuilder<T> {
    table: Table<T>,
}

/// The same pattern and method twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The pattern of the route that was there first, as written.
    pub pattern: Arc<str>,
    /// The method that both list; none where both are without a list.
    pub method: Option<Method>,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.method {
            Some(method) => write!(f, "`{method} {}` is routed twice", self.pattern),
            None => write!(f, "`{}` is routed twice", self.pattern),
        }
    }
}

impl std::error::Error for Clash {}

/// What answers a request.
#[derive(Debug)]
pub enum Found<'t, T> {
    /// A route.
    Matched(Matched<'t, T>),
    /// The most specific pattern serves other methods.
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: &'t str,
        /// The pattern as written.
        pattern: &'t Arc<str>,
    },
    /// No pattern matches the path.
    NotFound,
}

/// A route that matched, and what its pattern took from the path.
#[derive(Debug)]
pub struct Matched<'t, T> {
    /// What the table carries for the route.
    pub rule: &'t T,
    /// The pattern as written.
    pub pattern: &'t Arc<str>,
    /// The names of the parameters from the left.
    pub names: &'t Arc<[Arc<str>]>,
    /// Their values as byte ranges of the path, still percent-encoded.
    pub spans: Spans,
    /// Where in the path the part that `*` matched starts, if the pattern ends in one. That part is empty or
    /// starts with `/`.
    pub rest_start: Option<usize>,
}

impl<'t, T> Matched<'t, T> {
    /// Name and byte range of every parameter from the left.
    pub fn params(&self) -> impl Iterator<Item = (&'t str, Range<usize>)> {
        self.names.iter().map(|name| &**name).zip(self.spans.iter().cloned())
    }
}

/// All routes of one pattern.
#[derive(Debug)]
struct Leaf<T> {
    layer: Layer,
    rows: SmallVec<[Row<T>; 1]>,
    allow: Cow<'static, str>,
}

/// One route: the pattern with the methods it was written with.
#[derive(Debug)]
struct Row<T> {
    methods: Methods,
    pattern: Arc<str>,
    names: Arc<[Arc<str>]>,
    rule: T,
}

impl<T> Default for TableBuilder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> TableBuilder<T> {
    /// An empty table.
    pub fn new() -> Self {
        Self { table: Table { tree: Tree::new(), leaves: Vec::new(), statics: ByteMap::default() } }
    }

    /// Adds a route; layers may come in any order.
    ///
    /// # Errors
    /// A [`Clash`] if a route of the same layer has the same pattern, parameter names aside, and a method in
    /// common. The table then stays as it was.
    pub fn insert(
        &mut self,
        layer: Layer,
        methods: Methods,
        pattern: &Pattern,
        rule: T,
    ) -> Result<(), Clash> {
        let table = &mut self.table;
        let slot = table.tree.slot(pattern.segments());
        let index = match *slot {
            Some(index) => index,
            None => {
                let index = table.leaves.len();
                *slot = Some(index);
                table.leaves.push(Leaf { layer, rows: SmallVec::new(), allow: Cow::default() });
                if let Some(path) = static_path(pattern.segments()) {
                    table.statics.insert(path, index);
                }
                index
            }
        };
        let leaf = &mut table.leaves[index];
        if layer < leaf.layer {
            return Ok(());
        }
        if layer > leaf.layer {
            leaf.layer = layer;
            leaf.rows.clear();
        }
        for row in &leaf.rows {
            if let Some(method) = common(&row.methods, &methods) {
                return Err(Clash { pattern: row.pattern.clone(), method });
            }
        }
        let (pattern, names) = (pattern.text().clone(), pattern.names().clone());
        leaf.rows.push(Row { methods, pattern, names, rule });
        Ok(())
    }

    /// The finished table.
    pub fn build(mut self) -> Table<T> {
        for leaf in &mut self.table.leaves {
            leaf.allow = Methods::allow(leaf.rows.iter().map(|row| &row.methods));
        }
        self.table
    }
}

impl<T> Table<T> {
    /// Finds what answers `method` on `path`, which is normalised (see [`crate::exchange::target::Target`]).
    ///
    /// The most specific pattern that matches the path decides alone: if it does not serve the method, no wider
    /// pattern is asked. A path that does not start with `/`, as in `OPTIONS *`, is found nowhere.
    pub fn find(&self, path: &str, method: &Method) -> Found<'_, T> {
        let Some(hit) = self.locate(path) else { return Found::NotFound };
        let leaf = &self.leaves[hit.leaf];
        match leaf.row_for(method) {
            Some(row) => Found::Matched(Matched {
                rule: &row.rule,
                pattern: &row.pattern,
                names: &row.names,
                spans: hit.spans,
                rest_start: hit.rest,
            }),
            // A leaf has at least the row it was made for.
            None => match leaf.rows.first() {
                Some(row) => Found::MethodNotAllowed { allow: &leaf.allow, pattern: &row.pattern },
                None => Found::NotFound,
            },
        }
    }

    /// The methods that `path` takes, as the value of `Allow`; of a path that is found nowhere, as `*`, all that a route
    /// without a list takes.
    pub fn allow(&self, path: &str) -> &str {
        self.locate(path).map_or(Methods::ALLOW_USUAL, |hit| &self.leaves[hit.leaf].allow)
    }

    #[inline(always)]
    fn locate(&self, path: &str) -> Option<Hit> {
        if !path.starts_with('/') {
            return None;
        }
        if let Some(&leaf) = self.statics.get(path.as_bytes()) {
            return Some(Hit { leaf, ..Hit::default() });
        }
        self.tree.find(path)
    }
}

impl<T> Leaf<T> {
    /// A list that names the method, then `GET` for `HEAD`, then the route without a list.
    fn row_for(&self, method: &Method) -> Option<&Row<T>> {
        let naming = |method: &Method| self.rows.iter().find(|row| row.methods.names(method));
        naming(method).or_else(|| if *method == Method::HEAD { naming(&Method::GET) } else { None }).or_else(
            || self.rows.iter().find(|row| row.methods == Methods::Any && Methods::any_serves(method)),
        )
    }
}

/// What two lists share: `Some(None)` if both are absent.
fn common(a: &Methods, b: &Methods) -> Option<Option<Method>> {
    match (a, b) {
        (Methods::Any, Methods::Any) => Some(None),
        (Methods::Only(listed), other) => listed.iter().find(|method| other.names(method)).cloned().map(Some),
        _ => None,
    }
}

/// The one path of a pattern that is literal throughout. Bytes that a path only holds encoded, or that mean
/// something else raw, need the tree's careful comparison.
fn static_path(segments: &[Segment]) -> Option<Box<[u8]>> {
    if segments.iter().any(|segment| !matches!(segment, Segment::Literal(_))) {
        return None;
    }
    let mut path = Vec::with_capacity(64);
    for segment in segments {
        let Segment::Literal(text) = segment else { return None };
        if text.iter().any(|byte| matches!(byte, b'/' | b'%')) {
            return None;
        }
        path.push(b'/');
        path.extend_from_slice(text);
    }
    Some(path.into())
}

#[cfg(test)]
mod tests;

//! Which members of a JSON value are kept, dropped and renamed: rules compiled into a tree of names.
//!
//! `walk.rs` runs a value through it, piece by piece.

mod walk;

use super::path::{Path, Step};
use super::text::{push_quoted, unescaped};

pub use walk::Selector;

/// The rules of a selection, as written. They apply in this order: `unwrap`, then `keep`, `omit` and `rename` together,
/// then `wrap`.
#[derive(Clone, Default, Debug)]
pub struct Rules {
    /// What is kept, whole; everything where nothing is named.
    pub keep: Vec<Path>,
    /// What is dropped.
    pub omit: Vec<Path>,
    /// New names for the last members of paths.
    pub rename: Vec<(Path, String)>,
    /// Names down to the member that becomes the whole.
    pub unwrap: Vec<String>,
    /// The name of the only member of an object around the whole.
    pub wrap: Option<String>,
}

/// Rules that cannot stand together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// More new names in one object than can be told apart.
    TooManyNames,
    /// A new name for what has none.
    NamelessRename(Path),
}

/// Compiled rules.
#[derive(Debug)]
pub struct Selection {
    nodes: Vec<Node>,
    keeps: bool,
    unwrap: Vec<Box<[u8]>>,
    /// What stands before the whole: `{"NAME":`.
    wrap: Option<Box<[u8]>>,
}

/// A place in a value that a rule speaks of.
#[derive(Default, Debug)]
struct Node {
    /// Sorted by name.
    members: Vec<(Box<[u8]>, u32)>,
    items: Option<u32>,
    kept: bool,
    omitted: Omitted,
    renamed: Option<Renamed>,
    /// New names of members; they may clash with names that are there.
    targets: Vec<Box<[u8]>>,
    /// Whether something below is kept.
    leads: bool,
    /// Whether something below is dropped or renamed.
    touched: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Omitted {
    #[default]
    No,
    /// `a[]`: the items of a list, or what is no list itself.
    UnlessList,
    Yes,
}

#[derive(Debug)]
struct Renamed {
    name: Box<[u8]>,
    quoted: Box<[u8]>,
}

/// What becomes of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Skip,
    Copy,
    /// Its parts are judged one by one; whether those that no rule names are kept.
    Walk(bool),
}

/// New names in one object; one bit each tells which have been given.
const MAX_TARGETS: usize = 64;

impl Selection {
    /// Compiles rules.
    ///
    /// # Errors
    /// They cannot stand together.
    pub fn new(rules: &Rules) -> Result<Selection, Conflict> {
        let mut selection = Selection {
            nodes: vec![Node::default()],
            keeps: !rules.keep.is_empty(),
            unwrap: rules.unwrap.iter().map(|name| name.as_bytes().into()).collect(),
            wrap: rules.wrap.as_ref().map(|name| {
                let mut out = vec![b'{'];
                push_quoted(name, &mut out);
                out.push(b':');
                out.into()
            }),
        };
        for path in &rules.keep {
            for (_, node, _) in selection.places(path) {
                selection.nodes[node].kept = true;
            }
        }
        for path in &rules.omit {
            for (_, node, unless_list) in selection.places(path) {
                let omitted = &mut selection.nodes[node].omitted;
                if !unless_list {
                    *omitted = Omitted::Yes;
                } else if *omitted == Omitted::No {
                    *omitted = Omitted::UnlessList;
                }
            }
        }
        for (path, name) in &rules.rename {
            if path.last_name().is_none() {
                return Err(Conflict::NamelessRename(path.clone()));
            }
            for (parent, node, _) in selection.places(path) {
                let mut quoted = Vec::new();
                push_quoted(name, &mut quoted);
                let renamed = Renamed { name: name.as_bytes().into(), quoted: quoted.into() };
                selection.nodes[node].renamed = Some(renamed);
                let targets = &mut selection.nodes[parent].targets;
                if !targets.iter().any(|target| **target == *name.as_bytes()) {
                    targets.push(name.as_bytes().into());
                }
                if targets.len() > MAX_TARGETS {
                    return Err(Conflict::TooManyNames);
                }
            }
        }
        selection.sum_up(0);
        Ok(selection)
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        !self.keeps && !self.nodes[0].touched && self.unwrap.is_empty() && self.wrap.is_none()
    }

    /// The places a path names: each with its parent, and whether a last `[]` was read as nothing to get there.
    fn places(&mut self, path: &Path) -> Vec<(usize, usize, bool)> {
        let mut now = vec![(0, 0, false)];
        for step in path.steps() {
            let mut next = Vec::with_capacity(now.len() * 2);
            for (parent, node, _) in now {
                match step {
                    Step::Name(name) => next.push((node, self.member(node, name.as_bytes()), false)),
                    Step::Items => next.extend([(node, self.items(node), false), (parent, node, true)]),
                }
            }
            next.sort_unstable();
            next.dedup();
            now = next;
        }
        now
    }

    fn member(&mut self, node: usize, name: &[u8]) -> usize {
        match self.nodes[node].members.binary_search_by(|(other, _)| (**other).cmp(name)) {
            Ok(at) => self.nodes[node].members[at].1 as usize,
            Err(at) => {
                self.nodes.push(Node::default());
                let new = self.nodes.len() - 1;
                self.nodes[node].members.insert(at, (name.into(), new as u32));
                new
            }
        }
    }

    fn items(&mut self, node: usize) -> usize {
        if let Some(items) = self.nodes[node].items {
            return items as usize;
        }
        self.nodes.push(Node::default());
        let new = self.nodes.len() - 1;
        self.nodes[node].items = Some(new as u32);
        new
    }

    /// Fills in what a place knows of those below it. Paths are short, and so is the way down.
    fn sum_up(&mut self, node: usize) {
        let below: Vec<usize> = {
            let node = &self.nodes[node];
            node.members.iter().map(|(_, at)| *at).chain(node.items).map(|at| at as usize).collect()
        };
        let (mut leads, mut touched) = (false, false);
        for at in below {
            self.sum_up(at);
            let node = &self.nodes[at];
            leads |= node.kept || node.leads;
            touched |= node.omitted != Omitted::No || node.renamed.is_some() || node.touched;
        }
        self.nodes[node].leads = leads;
        self.nodes[node].touched = touched;
    }

    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    /// What becomes of a value that begins with this byte; `keeping`: whether it stands in something that is kept.
    fn judge(&self, node: u32, keeping: bool, first: u8) -> Verdict {
        let Some(node) = self.node(node) else {
            return if keeping { Verdict::Copy } else { Verdict::Skip };
        };
        let container = matches!(first, b'{' | b'[');
        match node.omitted {
            Omitted::Yes => return Verdict::Skip,
            Omitted::UnlessList if first != b'[' => return Verdict::Skip,
            _ => {}
        }
        if keeping || node.kept {
            return if container && node.touched { Verdict::Walk(true) } else { Verdict::Copy };
        }
        match first {
            _ if !node.leads => Verdict::Skip,
            b'n' => Verdict::Copy,
            _ if container => Verdict::Walk(false),
            _ => Verdict::Skip,
        }
    }
}

impl Node {
    /// The place of a member by its name as it stands in the JSON.
    fn find(&self, raw: &[u8]) -> Option<u32> {
        if self.members.is_empty() {
            return None;
        }
        if raw.contains(&b'\\') {
            return self.look_up(&unescaped(raw));
        }
        self.look_up(raw)
    }

    fn look_up(&self, name: &[u8]) -> Option<u32> {
        if self.members.len() <= 16 {
            return self.members.iter().find(|(other, _)| **other == *name).map(|(_, at)| *at);
        }
        let at = self.members.binary_search_by(|(other, _)| (**other).cmp(name)).ok()?;
        Some(self.members[at].1)
    }
}

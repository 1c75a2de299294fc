//! Reads a shape from the configuration.

use crate::runtime::hash::HashSet;
use std::sync::Arc;

use crate::config::{Diagnostic, Field, Key, Schema, Section, Span, Text, shape};
use crate::expression::{Scope, load};
use crate::json::{Conflict, Path, Rules, Selection};

use super::Shape;

/// The keys of a shape.
pub const SHAPE: &[Key] = &[
    Key::optional("keep", || shape::list(shape::text()), "Paths of what is kept; the rest is dropped"),
    Key::optional("omit", || shape::list(shape::text()), "Paths of what is dropped"),
    Key::optional("rename", || shape::map(shape::text()), "Paths, and the new names of their last members"),
    Key::optional("unwrap", shape::text, "The path of the member that becomes the whole answer"),
    Key::optional("wrap", shape::text, "The name of the only member of an object around the answer"),
    Key::optional("body", shape::cel, "A CEL expression that makes the whole answer anew"),
];

/// The schema of a shape.
pub fn schema() -> Schema {
    shape::object(SHAPE)
}

/// The rules of a shape as they stand in the file, each with its place.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// `keep`; none where it is not written.
    pub keep: Option<Vec<(Path, Span)>>,
    /// `omit`.
    pub omit: Vec<(Path, Span)>,
    /// `rename`.
    pub rename: Vec<(Path, String, Span)>,
    /// `unwrap`: a path of names.
    pub unwrap: Option<(Path, Span)>,
    /// `wrap`.
    pub wrap: Option<(String, Span)>,
    /// `body`.
    pub body: Option<Text>,
}

impl Written {
    /// Reads the section; `None` after what is wrong was reported.
    pub fn read(field: Field<'_>) -> Option<Written> {
        let section = Section::open(field, SHAPE)?;
        let keep = match section.get("keep") {
            Some(keep) => Some(paths(keep)?),
            None => None,
        };
        if keep.as_ref().is_some_and(Vec::is_empty) {
            section.get("keep")?.error("`keep` names nothing", "name what is kept, or remove the key");
            return None;
        }
        let omit = section.get("omit").map_or(Some(Vec::new()), paths);
        let rename = section.get("rename").map_or(Some(Vec::new()), renames);
        let unwrap = match section.get("unwrap") {
            Some(field) => Some(names_alone(field)?),
            None => None,
        };
        let wrap = match section.get("wrap") {
            Some(field) => Some((field.filled()?.into_string(), field.span())),
            None => None,
        };
        let body = match section.get("body") {
            Some(field) => Some(field.cel()?),
            None => None,
        };
        let written = Written { keep, omit: omit?, rename: rename?, unwrap, wrap, body };
        // A key that nobody knows was reported already.
        if written.is_empty() && field.entries()?.is_empty() {
            field.error("this shape changes nothing", "write one of its keys, or remove it");
            return None;
        }
        written.contradictions(field);
        Some(written)
    }

    fn is_empty(&self) -> bool {
        self.keep.is_none()
            && self.omit.is_empty()
            && self.rename.is_empty()
            && self.unwrap.is_none()
            && self.wrap.is_none()
            && self.body.is_none()
    }

    /// Reports what can never come to anything.
    fn contradictions(&self, field: Field<'_>) {
        for (kept, span) in self.keep.iter().flatten() {
            if let Some((omitted, _)) = self.omit.iter().find(|(omitted, _)| omitted.holds(kept)) {
                let what = format!("`{kept}` is kept, but `omit: {omitted}` drops it");
                field.out().add(Diagnostic::error(*span, what).help("remove one of them"));
            }
        }
        for (path, _, span) in &self.rename {
            let reachable = |kept: &Path| kept.holds(path) || path.holds(kept);
            let kept = self.keep.as_ref().is_none_or(|keep| keep.iter().any(|(kept, _)| reachable(kept)));
            let omitted = self.omit.iter().any(|(omitted, _)| omitted.holds(path));
            if !kept || omitted {
                let what = format!("`{path}` has a new name, but it is dropped");
                field.out().add(Diagnostic::error(*span, what).help("keep it, or remove the new name"));
            }
        }
    }

    /// Compiles the rules.
    pub fn compile(&self, field: Field<'_>, scope: &Scope) -> Option<Shape> {
        let rules = Rules {
            keep: self.keep.iter().flatten().map(|(path, _)| path.clone()).collect(),
            omit: self.omit.iter().map(|(path, _)| path.clone()).collect(),
            rename: self.rename.iter().map(|(path, name, _)| (path.clone(), name.clone())).collect(),
            unwrap: self.unwrap.iter().flat_map(|(path, _)| path.names()).map(str::to_owned).collect(),
            wrap: self.wrap.as_ref().map(|(name, _)| name.clone()),
        };
        let selection = match Selection::new(&rules) {
            Ok(selection) => (!selection.is_empty()).then(|| Arc::new(selection)),
            Err(Conflict::TooManyNames) => {
                field.error("more than 64 new names in one object", "split the shape, or use `body`");
                return None;
            }
            Err(Conflict::NamelessRename(path)) => {
                field.error(format!("`{path}` names the items of a list"), "only a member has a name");
                return None;
            }
        };
        let body = match &self.body {
            Some(text) => {
                let scope = Scope { response: true, ..scope.clone() };
                Some(Arc::new(load::expression(text, &scope, field.out())?))
            }
            None => None,
        };
        Some(Shape { rules, selection, body })
    }
}

fn path_of(text: &Text, field: Field<'_>, span: Span) -> Option<(Path, Span)> {
    match Path::parse(text.as_str()) {
        Ok(path) => Some((path, span)),
        Err(error) => {
            let what = format!("`{}` is no path: {error}", text.as_str());
            let help = "write names with dots, and `[]` for the items of a list: `orders[].id`";
            field.out().add(Diagnostic::error(span, what).help(help));
            None
        }
    }
}

/// A list of paths, all of them read even where one is wrong.
fn paths(field: Field<'_>) -> Option<Vec<(Path, Span)>> {
    let read: Vec<Option<(Path, Span)>> =
        field.list()?.into_iter().map(|item| path_of(&item.filled()?, item, item.span())).collect();
    let paths = read.into_iter().collect::<Option<Vec<_>>>()?;
    let mut seen: HashSet<_> = HashSet::default();
    if let Some((path, span)) = paths.iter().find(|(path, _)| !seen.insert(path)) {
        field.out().add(Diagnostic::error(*span, format!("`{path}` stands here twice")).help("remove one"));
        return None;
    }
    Some(paths)
}

fn renames(field: Field<'_>) -> Option<Vec<(Path, String, Span)>> {
    let read = field.entries()?.into_iter().map(|(path, name)| {
        let new = name.filled()?.into_string();
        let parsed = match Path::parse(path.value) {
            Ok(parsed) => parsed,
            Err(error) => {
                let what = format!("`{}` is no path: {error}", path.value);
                let help = "write names with dots, and `[]` for the items of a list: `orders[].id`";
                field.out().add(Diagnostic::error(path.span, what).help(help));
                return None;
            }
        };
        if parsed.last_name().is_none() {
            let what = format!("`{parsed}` names the items of a list, which have no name");
            field.out().add(Diagnostic::error(path.span, what).help("name a member of theirs"));
            return None;
        }
        Some((parsed, new, path.span))
    });
    read.collect::<Vec<_>>().into_iter().collect()
}

fn names_alone(field: Field<'_>) -> Option<(Path, Span)> {
    let (path, span) = path_of(&field.filled()?, field, field.span())?;
    if path.names().count() != path.steps().len() {
        field.error("`unwrap` steps into no list", "name the member that becomes the whole, without `[]`");
        return None;
    }
    Some((path, span))
}

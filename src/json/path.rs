//! Paths of a shape: `user.id`, `orders[].id`, `a["x.y"]`.

use std::fmt;

/// One step from a value to a part of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// The member of that name.
    Name(Box<str>),
    /// Every item of a list.
    Items,
}

/// Where in an answer a rule of a shape applies.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Path(Vec<Step>);

/// A text that is no path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathError {
    /// The byte where it goes wrong.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

/// `[]` may stand so often in one path: each is a fork, as it reads as nothing where there is no list.
const MAX_ITEMS: usize = 8;

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        let fault = |at: usize, what| Err(PathError { at, what });
        let mut steps = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if rest.starts_with("[]") {
                steps.push(Step::Items);
                at += 2;
            } else if let Some(quoted) = rest.strip_prefix("[\"") {
                let Some(end) = quoted.find("\"]") else { return fault(at, "this name is never closed") };
                steps.push(Step::Name(quoted[..end].into()));
                at += 2 + end + 2;
            } else if rest.starts_with('[') {
                return fault(at, "a step into a list is `[]`, and a name in brackets stands in quotes");
            } else {
                let start = match rest.strip_prefix('.') {
                    Some(_) if steps.is_empty() => return fault(at, "a path begins with a name"),
                    Some(_) => at + 1,
                    None if steps.is_empty() => at,
                    None => return fault(at, "a dot stands before a name"),
                };
                let length = text[start..].find(['.', '[', ']', '"']).unwrap_or(text.len() - start);
                if length == 0 {
                    return fault(start, "a name is missing");
                }
                steps.push(Step::Name(text[start..start + length].into()));
                at = start + length;
            }
        }
        if steps.is_empty() {
            return fault(0, "a path names a member");
        }
        if steps.iter().filter(|step| **step == Step::Items).count() > MAX_ITEMS {
            return fault(0, "a path steps into at most 8 lists");
        }
        Ok(Path(steps))
    }

    /// The path of one member of the value itself.
    pub fn of(name: &str) -> Path {
        Path(vec![Step::Name(name.into())])
    }

    /// Its names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|step| match step {
            Step::Name(name) => Some(&**name),
            Step::Items => None,
        })
    }

    /// The steps, at least one.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The name it ends with, if it does.
    pub fn last_name(&self) -> Option<&str> {
        match self.0.last()? {
            Step::Name(name) => Some(name),
            Step::Items => None,
        }
    }

    /// Whether what this path names holds what the other one does.
    pub fn holds(&self, other: &Path) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Items => f.write_str("[]")?,
                Step::Name(name) if name.is_empty() || name.contains(['.', '[', ']', '"']) => {
                    write!(f, "[\"{name}\"]")?;
                }
                Step::Name(name) if at > 0 => write!(f, ".{name}")?,
                Step::Name(name) => f.write_str(name)?,
            }
        }
        Ok(())
    }
}

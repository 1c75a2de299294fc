//! Shapes against a model: shapes and answers are made at random (from a fixed seed), and what comes out is what a plain
//! reading of docs/aggregates.md says, however the answer was cut into pieces.

use std::fmt::Write as _;

use crate::support::parts::{JSON, in_pieces};
use crate::support::{Gateway, Origin};

/// JSON as the model sees it: members in order, everything else as its text.
#[derive(Clone, Debug)]
enum Value {
    Object(Vec<(String, Value)>),
    List(Vec<Value>),
    Other(&'static str),
}

/// A step of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Member(&'static str),
    Items,
}

type Path = Vec<Step>;

#[derive(Clone, Default, Debug)]
struct Shape {
    unwrap: Option<Vec<&'static str>>,
    keep: Vec<Path>,
    omit: Vec<Path>,
    rename: Vec<(Path, &'static str)>,
    wrap: Option<&'static str>,
}

impl Value {
    fn write(&self, out: &mut String) {
        let mut between = "";
        match self {
            Value::Object(members) => {
                out.push('{');
                for (name, value) in members {
                    write!(out, "{}\"{name}\":", std::mem::replace(&mut between, ",")).unwrap();
                    value.write(out);
                }
                out.push('}');
            }
            Value::List(items) => {
                out.push('[');
                for item in items {
                    out.push_str(std::mem::replace(&mut between, ","));
                    item.write(out);
                }
                out.push(']');
            }
            Value::Other(text) => out.push_str(text),
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// What is left of a path behind the member of that name, or behind an item; nothing where it leads elsewhere.
fn behind(path: &Path, step: &Step) -> Option<Path> {
    (path.first() == Some(step)).then(|| path[1..].to_vec())
}

/// On what is no list `[]` says nothing.
fn without_items(path: &Path) -> Path {
    path.iter().skip_while(|step| **step == Step::Items).cloned().collect()
}

/// The paths of a shape as they go on from some place. `keep: None` keeps all from here on.
#[derive(Clone)]
struct Rules {
    keep: Option<Vec<Path>>,
    omit: Vec<Path>,
    rename: Vec<(Path, &'static str)>,
}

impl Rules {
    fn map(&self, on: impl Fn(&Path) -> Option<Path>) -> Rules {
        let list = |paths: &[Path]| paths.iter().filter_map(&on).collect::<Vec<Path>>();
        let rename = self.rename.iter().filter_map(|(path, name)| Some((on(path)?, *name)));
        Rules { keep: self.keep.as_deref().map(list), omit: list(&self.omit), rename: rename.collect() }
    }

    /// What becomes of a value; `None` where it is dropped.
    fn apply(&self, value: &Value) -> Option<Value> {
        let mut rules = self.clone();
        if !matches!(value, Value::List(_)) {
            rules = rules.map(|path| Some(without_items(path)));
        }
        if rules.omit.iter().any(Path::is_empty) {
            return None;
        }
        if rules.keep.as_ref().is_some_and(|keep| keep.iter().any(Path::is_empty)) {
            rules.keep = None;
        }
        match value {
            Value::Object(members) => {
                let mut out: Vec<(String, Value)> = Vec::new();
                for (name, value) in members {
                    let step = Step::Member(NAMES.iter().find(|known| *known == name).unwrap());
                    let inner = rules.map(|path| behind(path, &step));
                    if inner.keep.as_ref().is_some_and(Vec::is_empty) {
                        continue;
                    }
                    let Some(value) = inner.apply(value) else { continue };
                    let new = inner.rename.iter().find(|(path, _)| path.is_empty());
                    let name = new.map_or(name.as_str(), |(_, new)| new);
                    if !out.iter().any(|(other, _)| other == name) {
                        out.push((name.to_owned(), value));
                    }
                }
                Some(Value::Object(out))
            }
            Value::List(items) => {
                let inner = rules.map(|path| behind(path, &Step::Items));
                if inner.keep.as_ref().is_some_and(Vec::is_empty) {
                    return Some(Value::List(Vec::new()));
                }
                Some(Value::List(items.iter().filter_map(|item| inner.apply(item)).collect()))
            }
            Value::Other(text) => (rules.keep.is_none() || *text == "null").then_some(Value::Other(text)),
        }
    }
}

impl Shape {
    fn apply(&self, value: &Value) -> Value {
        let mut at = Some(value.clone());
        for name in self.unwrap.iter().flatten() {
            at = match at {
                Some(Value::Object(members)) => {
                    members.into_iter().find(|(other, _)| other == name).map(|(_, value)| value)
                }
                _ => None,
            };
        }
        let value = at.unwrap_or(Value::Other("null"));
        let keep = (!self.keep.is_empty()).then(|| self.keep.clone());
        let rules = Rules { keep, omit: self.omit.clone(), rename: self.rename.clone() };
        let value = rules.apply(&value).unwrap_or(Value::Other("null"));
        match self.wrap {
            Some(name) => Value::Object(vec![(name.to_owned(), value)]),
            None => value,
        }
    }

    fn yaml(&self) -> String {
        let list = |paths: &[Path]| {
            paths.iter().map(|path| format!("\"{}\"", dotted(path))).collect::<Vec<_>>().join(", ")
        };
        let mut keys = Vec::new();
        keys.extend(self.unwrap.as_ref().map(|path| format!("unwrap: {}", path.join("."))));
        if !self.keep.is_empty() {
            keys.push(format!("keep: [{}]", list(&self.keep)));
        }
        if !self.omit.is_empty() {
            keys.push(format!("omit: [{}]", list(&self.omit)));
        }
        if !self.rename.is_empty() {
            let renames: Vec<String> =
                self.rename.iter().map(|(path, name)| format!("\"{}\": {name}", dotted(path))).collect();
            keys.push(format!("rename: {{ {} }}", renames.join(", ")));
        }
        keys.extend(self.wrap.map(|name| format!("wrap: {name}")));
        format!("{{ {} }}", keys.join(", "))
    }
}

fn dotted(path: &Path) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Member(name) if out.is_empty() => out.push_str(name),
            Step::Member(name) => write!(out, ".{name}").unwrap(),
            Step::Items => out.push_str("[]"),
        }
    }
    out
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A generator of numbers (xorshift): the same on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn value(&mut self, depth: usize, container: bool) -> Value {
        let kind = if depth == 0 { 4 } else { self.below(if container { 3 } else { 6 }) };
        match kind {
            0 | 1 => {
                let mut names = NAMES.to_vec();
                let members = (0..self.below(5)).map(|_| {
                    let name = names.remove(self.below(names.len()));
                    (name.to_owned(), self.value(depth - 1, false))
                });
                Value::Object(members.collect())
            }
            2 => Value::List((0..self.below(4)).map(|_| self.value(depth - 1, false)).collect()),
            _ => Value::Other(
                [
                    "null",
                    "1.10",
                    "-0",
                    "\"{[,\\\"]}\"",
                    "true",
                    "12345678901234567890",
                    "\"\\u0061\"",
                    "\"\"",
                ][self.below(8)],
            ),
        }
    }

    fn path(&mut self, ends_in_items: bool) -> Path {
        let mut path = Path::new();
        if self.below(5) == 0 {
            path.push(Step::Items);
        }
        let length = self.below(3) + 1;
        for at in 0..length {
            path.push(Step::Member(NAMES[self.below(4)]));
            let last = at + 1 == length;
            for _ in 0..[0, 0, 1, 2][self.below(4)] {
                if !last || ends_in_items {
                    path.push(Step::Items);
                }
            }
        }
        path
    }

    fn shape(&mut self) -> Shape {
        let mut shape = Shape::default();
        if self.below(5) == 0 {
            shape.unwrap = Some((0..=self.below(2)).map(|_| NAMES[self.below(4)]).collect());
        }
        if self.below(4) > 0 {
            shape.keep = (0..=self.below(4)).map(|_| self.path(true)).collect();
        }
        if self.below(2) == 0 {
            shape.omit = (0..=self.below(2)).map(|_| self.path(false)).collect();
        }
        if self.below(2) == 0 {
            shape.rename = (0..=self.below(2)).map(|_| (self.path(false), NAMES[self.below(4)])).collect();
            let mut seen = Vec::new();
            shape.rename.retain(|(path, _)| {
                !seen.contains(path) && {
                    seen.push(path.clone());
                    true
                }
            });
        }
        if self.below(5) == 0 {
            shape.wrap = Some(NAMES[self.below(4)]);
        }
        shape
    }
}

/// Shapes that the gateway takes: some contradict themselves, and are refused at load.
fn shapes(dice: &mut Dice, count: usize) -> Vec<Shape> {
    let mut found = Vec::new();
    while found.len() < count {
        let shape = dice.shape();
        let config = format!(
            "routes: {{ /: {{ upstream: 'http://127.0.0.1:1', policies: {{ shape: {} }} }} }}",
            shape.yaml()
        );
        let checked = Gateway::prepare(&[]).run(&["check", "-c", "CONFIG"], &config);
        if checked.status.success() {
            found.push(shape);
        }
    }
    found
}

#[test]
fn shapes_do_what_a_plain_reading_says() {
    let mut dice = Dice(0x5eed_2024_0911_0815);
    let shapes = shapes(&mut dice, 80);
    let values: Vec<Value> = (0..60).map(|_| dice.value(4, true)).collect();
    let texts: Vec<String> = values.iter().map(Value::text).collect();
    let sent = texts.clone();
    let origin = Origin::serve(move |turn| {
        let target = turn.request().target().to_owned();
        let mut parts = target.split(['/', '?']).skip(2).map(|part| part.parse::<usize>().unwrap());
        let (at, length) = (parts.next().unwrap(), parts.next().unwrap());
        match length {
            0 => turn.answer(200, &[JSON], &sent[at]),
            length => in_pieces(turn, &[JSON], sent[at].as_bytes(), length),
        }
    });
    let routes: String = (shapes.iter().enumerate())
        .map(|(at, shape)| {
            format!("  /{at}/{{value}}: {{ upstream: ORIGIN1, policies: {{ shape: {} }} }}\n", shape.yaml())
        })
        .collect();
    let gateway = Gateway::start(&[&origin], &format!("routes:\n{routes}"));
    let mut deviations = Vec::new();
    let mut client = gateway.client();
    for (at, shape) in shapes.iter().enumerate() {
        for (number, value) in values.iter().enumerate() {
            let expected = shape.apply(value).text();
            let length = [0, 1, 3][(at + number) % 3];
            let answer = client.get(&format!("/{at}/{number}?{length}"));
            if answer.status != 200 || !answer.complete || answer.text() != expected {
                let (yaml, text) = (shape.yaml(), &texts[number]);
                deviations.push(format!(
                    "{yaml}\n  of {text}\n  is {} {}\n not {expected}",
                    answer.status,
                    answer.text()
                ));
            }
        }
    }
    let shown = deviations.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(deviations.is_empty(), "{} deviations\n{shown}", deviations.len());
}

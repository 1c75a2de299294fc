//! The functions that expressions may call: what the `cel` crate registers with the features in use, without dates.

/// A function's name and how many arguments it takes.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// As `name(a)`: how many arguments, if it can be called so.
    pub(super) global: Option<usize>,
    /// As `x.name(a)`: how many arguments beside `x`, if it can be called so.
    pub(super) member: Option<usize>,
}

const fn global(name: &'static str) -> Function {
    Function { name, global: Some(1), member: None }
}

const fn member(name: &'static str) -> Function {
    Function { name, global: None, member: Some(1) }
}

/// Every function.
pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "size", global: Some(1), member: Some(0) },
    Function { name: "matches", global: Some(2), member: Some(1) },
    member("contains"),
    member("startsWith"),
    member("endsWith"),
    global("bool"),
    global("bytes"),
    global("double"),
    global("dyn"),
    global("int"),
    global("string"),
    global("type"),
    global("uint"),
];

/// Macros: expanded by the parser, so a call that still bears such a name has the wrong shape.
pub(super) const MACROS: &[(&str, &str)] = &[
    ("has", "has(identity.id)"),
    ("all", "list.all(x, condition)"),
    ("exists", "list.exists(x, condition)"),
    ("exists_one", "list.exists_one(x, condition)"),
    ("existsOne", "list.existsOne(x, condition)"),
    ("map", "list.map(x, value)"),
    ("filter", "list.filter(x, condition)"),
];

/// The names of types, as in `type(x) == string`.
pub(super) const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// The nearest of the names, where one is near enough to be meant.
pub(super) fn nearest<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = 1 + name.chars().count() / 4;
    among
        .map(|other| (distance(name, other), other))
        .filter(|(far, _)| *far <= most)
        .min()
        .map(|(_, other)| other)
}

/// "did you mean ...?", where a name is near enough.
pub(super) fn did_you_mean<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(name, among).map(|other| format!("did you mean `{other}`?"))
}

/// How many letters have to be added, dropped or changed (Levenshtein), case aside.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

//! The functions that expressions may call: the standard library of CEL and its strings extension, as cel-go has them.
//! `docs/expressions.md` shows each with an example, which tests evaluate.

/// A function's name and how many arguments it takes.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// As `name(a)`: how many arguments, if it can be called so.
    pub(super) global: &'static [usize],
    /// As `x.name(a)`: how many arguments without `x`, if it can be called so.
    pub(super) member: &'static [usize],
}

const fn global(name: &'static str) -> Function {
    Function { name, global: &[1], member: &[] }
}

const fn member(name: &'static str, counts: &'static [usize]) -> Function {
    Function { name, global: &[], member: counts }
}

/// Every function.
pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "size", global: &[1], member: &[0] },
    Function { name: "matches", global: &[2], member: &[1] },
    member("contains", &[1]),
    member("startsWith", &[1]),
    member("endsWith", &[1]),
    global("bool"),
    global("bytes"),
    global("double"),
    global("duration"),
    global("dyn"),
    global("int"),
    global("string"),
    global("timestamp"),
    global("type"),
    global("uint"),
    member("getDate", ZONED),
    member("getDayOfMonth", ZONED),
    member("getDayOfWeek", ZONED),
    member("getDayOfYear", ZONED),
    member("getFullYear", ZONED),
    member("getHours", ZONED),
    member("getMilliseconds", ZONED),
    member("getMinutes", ZONED),
    member("getMonth", ZONED),
    member("getSeconds", ZONED),
    member("charAt", &[1]),
    member("format", &[1]),
    member("indexOf", &[1, 2]),
    member("join", &[0, 1]),
    member("lastIndexOf", &[1, 2]),
    member("lowerAscii", &[0]),
    member("replace", &[2, 3]),
    member("reverse", &[0]),
    member("split", &[1, 2]),
    member("substring", &[1, 2]),
    member("trim", &[0]),
    member("upperAscii", &[0]),
    global("strings.quote"),
];

/// With or without a time zone.
const ZONED: &[usize] = &[0, 1];

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
pub(super) const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
    DURATION,
    TIMESTAMP,
];

/// The types of `duration()` and `timestamp()`, whose names have dots.
const DURATION: &str = "google.protobuf.Duration";
const TIMESTAMP: &str = "google.protobuf.Timestamp";

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

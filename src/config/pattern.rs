//! The key of a route: `[METHOD[,METHOD...] ]PATTERN`. Its syntax alone; what it matches is compiled elsewhere.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use super::suggest::nearest;

/// The methods of RFC 9110 section 9 and RFC 5789 that can be routed.
const STANDARD: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];

/// A segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This segment in the normalised form of paths: unreserved characters plain, all else percent-encoded in
    /// upper case. Empty where the pattern ends in a slash.
    Literal(Arc<str>),
    /// `{name}`: one segment, never empty.
    Param(Arc<str>),
    /// `*`: the path so far and everything below it.
    Rest,
}

/// A path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As written.
    pub text: Arc<str>,
    /// Its segments; the root `/` is one empty literal.
    pub segments: Vec<Segment>,
}

impl Pattern {
    /// Whether the last segment is `*`.
    pub fn has_rest(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Rest))
    }

    /// The names of its parameters, from the left.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Param(name) => Some(&**name),
            _ => None,
        })
    }

    /// The same text for all patterns that match the same paths: parameters lose their names.
    pub fn shape(&self) -> String {
        let mut shape = String::new();
        for segment in &self.segments {
            shape.push('/');
            match segment {
                Segment::Literal(text) => shape.push_str(text),
                Segment::Param(_) => shape.push_str("{}"),
                Segment::Rest => shape.push('*'),
            }
        }
        shape
    }
}

/// A route key, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteKey {
    /// The methods; none means all.
    pub methods: Vec<Arc<str>>,
    /// The path pattern.
    pub pattern: Pattern,
}

impl RouteKey {
    /// What may be written here and is hardly meant: a method near a standard one, a parameter as other routers write
    /// it.
    pub fn doubts(&self) -> Vec<BadKey> {
        let (mut doubts, mut at) = (Vec::new(), 0);
        for method in &self.methods {
            let range = at..at + method.len();
            at = range.end + 1;
            if let Some(near) = nearest(method, STANDARD).filter(|near| *near != &**method) {
                let what = format!("`{method}` is no method that is known");
                doubts.push(bad(range, what, format!("did you mean `{near}`?")));
            }
        }
        for piece in self.pattern.text[1..].split('/') {
            let range = at + 1..at + 1 + piece.len();
            at = range.end;
            if let Some(name) = piece.strip_prefix(':').filter(|name| is_name(name)) {
                let what = format!("`{piece}` is matched as it stands");
                doubts.push(bad(range, what, format!("write `{{{name}}}` for a parameter")));
            }
        }
        doubts
    }
}

/// What is wrong inside a key: bytes of the key, what, and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKey {
    /// The bytes of the key that are wrong.
    pub range: Range<usize>,
    /// What is wrong.
    pub what: String,
    /// The mend.
    pub help: String,
}

fn bad(range: Range<usize>, what: impl Into<String>, help: impl Into<String>) -> BadKey {
    BadKey { range, what: what.into(), help: help.into() }
}

/// Takes a route key apart.
///
/// # Errors
/// Where it is not a method list and a pattern; the range says which bytes of `key` are wrong.
pub fn parse(key: &str) -> Result<RouteKey, BadKey> {
    const FORM: &str = "a route is `/path` or `GET,POST /path`";
    // Words in small letters before any slash are a path, for methods are in capitals.
    let end = key.find('/').unwrap_or(key.len());
    if !key.contains([' ', ',']) && key[..end].bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(bad(0..end, "a route's pattern starts with `/`", format!("did you mean `/{key}`?")));
    }
    let Some(start) = key.find('/') else {
        return Err(bad(0..key.len(), "a route's pattern starts with `/`", FORM));
    };
    let methods = match key[..start].strip_suffix(' ') {
        Some(list) => methods(list, &key[start..])?,
        None if start == 0 => Vec::new(),
        None => return Err(bad(0..start, "between methods and pattern stands one blank", FORM)),
    };
    Ok(RouteKey { methods, pattern: pattern(&key[start..], start)? })
}

/// The methods of a key. `pattern` is what stands behind them.
fn methods(list: &str, pattern: &str) -> Result<Vec<Arc<str>>, BadKey> {
    let mut methods: Vec<Arc<str>> = Vec::new();
    let mut at = 0;
    for method in list.split(',') {
        let range = at..at + method.len();
        at = range.end + 1;
        // RFC 9110 section 5.6.2: the characters of a token.
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if method.is_empty() || !method.bytes().all(token) {
            let help = "methods are separated by commas without blanks: `GET,POST /path`";
            return Err(bad(range, "not a method", help));
        }
        if method.bytes().any(|b| b.is_ascii_lowercase()) {
            let help = format!("methods count case: did you mean `{}`?", method.to_ascii_uppercase());
            return Err(bad(range, "not a method", help));
        }
        if method == "*" {
            // A token, and so a method to the grammar, that no client sends.
            let help = format!("a key without a method stands for all of them: write `{pattern}`");
            return Err(bad(range, "`*` is not a method", help));
        }
        if method == "CONNECT" {
            // RFC 9110 section 9.3.6: its target is an authority, and what follows a 2xx is no HTTP.
            let help = "it asks for a tunnel, and the gateway opens none: remove it";
            return Err(bad(range, "`CONNECT` cannot be routed", help));
        }
        if methods.iter().any(|known| &**known == method) {
            return Err(bad(range, format!("the method `{method}` stands twice"), "write it once"));
        }
        methods.push(method.into());
    }
    Ok(methods)
}

fn pattern(text: &str, offset: usize) -> Result<Pattern, BadKey> {
    let mut segments = Vec::new();
    let pieces: Vec<&str> = text[1..].split('/').collect();
    let mut at = offset + 1;
    for (index, piece) in pieces.iter().enumerate() {
        let range = at..at + piece.len();
        at = range.end + 1;
        let last = index + 1 == pieces.len();
        let segment = match *piece {
            "*" if last => Segment::Rest,
            "*" => {
                return Err(bad(
                    range,
                    "`*` stands only at the end",
                    "use `{name}` for one segment in between",
                ));
            }
            "" if !last => {
                return Err(bad(
                    range.start - 1..range.end + 1,
                    "an empty segment",
                    "paths are matched after `//` was merged into `/`",
                ));
            }
            "." | ".." => {
                return Err(bad(
                    range,
                    "a dot segment",
                    "paths are matched after `.` and `..` were resolved",
                ));
            }
            _ if piece.starts_with('{') => Segment::Param(param(piece, &range, &segments)?),
            _ => Segment::Literal(literal(piece, range.start)?.into()),
        };
        segments.push(segment);
    }
    Ok(Pattern { text: text.into(), segments })
}

fn param(piece: &str, range: &Range<usize>, before: &[Segment]) -> Result<Arc<str>, BadKey> {
    let whole = "a parameter is a whole segment: `/{name}/`, its name of letters, digits and `_`";
    let name = piece[1..].strip_suffix('}').ok_or_else(|| bad(range.clone(), "not a parameter", whole))?;
    if !is_name(name) {
        return Err(bad(range.clone(), "not a parameter", whole));
    }
    if name == "rest" {
        let help = "`rest` is what `*` matched: choose another name";
        return Err(bad(range.clone(), "a parameter cannot be called `rest`", help));
    }
    if before.iter().any(|segment| matches!(segment, Segment::Param(other) if &**other == name)) {
        return Err(bad(
            range.clone(),
            format!("the parameter `{name}` stands twice"),
            "give each its own name",
        ));
    }
    Ok(name.into())
}

/// Whether a parameter can be called so.
fn is_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

/// A literal segment in the form in which paths are matched.
fn literal(piece: &str, start: usize) -> Result<String, BadKey> {
    let mut out = String::with_capacity(piece.len());
    let mut letters = piece.char_indices();
    while let Some((at, c)) = letters.next() {
        let range = start + at..start + at + c.len_utf8();
        match c {
            '%' => {
                let hex = piece.get(at + 1..at + 3).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
                let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
                    return Err(bad(
                        range,
                        "`%` without two hexadecimal digits",
                        "write `%25` for a percent sign",
                    ));
                };
                if byte.is_ascii_control() || byte == b'\\' {
                    return Err(bad(
                        range.start..range.start + 3,
                        "such a path is always refused",
                        "remove it",
                    ));
                }
                letters.nth(1);
                push(&mut out, byte, false);
            }
            '{' | '}' => {
                let help = "a parameter is a whole segment: `/{name}/`; write `%7B` for a brace";
                return Err(bad(range, "a brace inside a segment", help));
            }
            '*' => {
                return Err(bad(range, "`*` is a whole segment, at the end", "write `%2A` for an asterisk"));
            }
            '?' | '#' => {
                return Err(bad(
                    range,
                    format!("a pattern ends before `{c}`"),
                    "a `match` looks at the query",
                ));
            }
            ';' => {
                return Err(bad(
                    range,
                    "`;` stands in no pattern",
                    "write `%3B`, and `path: { semicolon: keep }` to let such paths in",
                ));
            }
            ' ' | '\\' => {
                return Err(bad(range, "a character that no path holds", "write `%20` for a blank"));
            }
            c if c.is_control() => return Err(bad(range, "a control character", "remove it")),
            c => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| push(&mut out, byte, c.is_ascii()));
            }
        }
    }
    Ok(out)
}

/// Adds a byte: plain where it is unreserved (RFC 3986 section 2.3) or was plain and may be, else encoded.
fn push(out: &mut String, byte: u8, plain: bool) {
    let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let allowed = plain && b"!$&'()*+,;=:@".contains(&byte);
    if unreserved || allowed {
        out.push(char::from(byte));
    } else {
        let _ = write!(out, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(key: &str) -> String {
        parse(key).unwrap().pattern.shape()
    }

    #[test]
    fn takes_keys_apart() {
        let key = parse("GET,POST /api/dashboard/{userId}").unwrap();
        assert_eq!(key.methods.iter().map(|m| &**m).collect::<Vec<_>>(), ["GET", "POST"]);
        assert_eq!(key.pattern.params().collect::<Vec<_>>(), ["userId"]);
        assert_eq!(parse("TRACE /a").unwrap().methods, [Arc::<str>::from("TRACE")]);
        assert_eq!(key.pattern.shape(), "/api/dashboard/{}");
        assert!(parse("/api/users/*").unwrap().pattern.has_rest());
        assert_eq!(parse("/").unwrap().pattern.segments, [Segment::Literal("".into())]);
        assert_eq!(parse("/a/").unwrap().pattern.segments.len(), 2);
        assert_eq!(parse("/*").unwrap().pattern.segments, [Segment::Rest]);
    }

    #[test]
    fn literals_take_the_form_of_matched_paths() {
        assert_eq!(shape("/%41%7e/caf\u{e9}"), "/A~/caf%C3%A9");
        assert_eq!(shape("/a%2fb"), "/a%2Fb");
        assert_eq!(shape("/a:b@c!$&'()+,="), "/a:b@c!$&'()+,=");
        assert_eq!(shape("/a%3ab"), "/a%3Ab");
    }

    #[test]
    fn doubts_what_is_hardly_meant() {
        let doubts = |key: &str| -> Vec<_> {
            let doubts = parse(key).unwrap().doubts();
            doubts.into_iter().map(|doubt| (doubt.range, doubt.help)).collect()
        };
        let near = "did you mean `GET`?".to_owned();
        let param = "write `{id}` for a parameter".to_owned();
        assert_eq!(doubts("POST,GTE /a/:id/b"), [(5..8, near), (12..15, param.clone())]);
        assert_eq!(doubts("/:id"), [(1..4, param)]);
        for key in [
            "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS,TRACE /a",
            "PROPFIND,PURGE,LOCK,QUERY /a",
            "/a:b/:",
            "/:1",
        ] {
            assert_eq!(doubts(key), [], "{key}");
        }
    }

    #[test]
    fn offers_the_slash_that_is_missing() {
        assert_eq!(parse("api/users/*").unwrap_err().help, "did you mean `/api/users/*`?");
        assert_eq!(parse("GET/a").unwrap_err().help, "a route is `/path` or `GET,POST /path`");
    }

    #[test]
    fn says_where_a_key_is_wrong() {
        for (key, range) in [
            ("users", 0..5),
            ("get /a", 0..3),
            ("GET,  POST /a", 4..10),
            ("GET,GET /a", 4..7),
            ("GET,CONNECT /a", 4..11),
            ("GET/a", 0..3),
            (" /a", 0..0),
            ("/a//b", 2..4),
            ("/a/*/b", 3..4),
            ("/a/x*", 4..5),
            ("/{a}.json", 1..9),
            ("/x{a}", 2..3),
            ("/{}", 1..3),
            ("/{a}/{a}", 5..8),
            ("/{rest}", 1..7),
            ("/a?x=1", 2..3),
            ("/a;b", 2..3),
            ("/a/../b", 3..5),
            ("/%zz", 1..2),
            ("/%00", 1..4),
            ("/a b", 2..3),
            ("/caf\u{e9}#", 6..7),
        ] {
            assert_eq!(parse(key).map_err(|bad| bad.range), Err(range), "{key}");
        }
    }
}

//! Which names an expression may use where it stands, and which it does use.

/// The root names that are known where an expression stands. `request`, `client`, `listener` and `route` always are.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Whether `identity` may be read: from `auth` on, so never in `match` and `ip`.
    pub identity: bool,
    /// The names of the path parameters of the pattern.
    pub params: Vec<String>,
    /// Whether the pattern ends in `*`.
    pub rest: bool,
    /// The names of an aggregate's sources.
    pub sources: Vec<String>,
    /// Whether `item` of a `for_each` is known.
    pub item: bool,
    /// Whether the answer is known, as `response`: in `shape`.
    pub response: bool,
}

/// Something that an expression reads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Reference {
    /// `request.method`, `scheme`, `path` or `host`, by its name.
    Request(&'static str),
    /// One header line by its name, or all of them.
    Header(Option<String>),
    /// One query value by its name, or all of them.
    Query(Option<String>),
    /// One cookie by its name, or all of them.
    Cookie(Option<String>),
    /// `client.ip`.
    ClientIp,
    /// `identity.id`, `claims`, `scopes` or `method`, by its name.
    Identity(&'static str),
    /// One path parameter by its name, or all of them.
    Param(Option<String>),
    /// What `*` matched.
    Rest,
    /// The listener's name.
    Listener,
    /// The route's pattern.
    Route,
    /// A source of the aggregate, by its name.
    Source(String),
    /// The item of a `for_each`.
    Item,
    /// The answer on its way out.
    Response,
}

impl Reference {
    /// Whether a client chooses the value freely: a header, a query value or a cookie.
    pub fn free_choice(&self) -> bool {
        matches!(self, Reference::Header(_) | Reference::Query(_) | Reference::Cookie(_))
    }
}

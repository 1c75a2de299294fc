//! The request target (being written).

/// The normalised path and the query.
#[derive(Clone, Debug, Default)]
pub struct Target {
    text: String,
    path_end: usize,
}

impl Target {
    /// The normalised path.
    pub fn path(&self) -> &str {
        &self.text[..self.path_end]
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.text.get(self.path_end + 1..)
    }

    /// Path and query.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

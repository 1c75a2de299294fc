//! Text into a typed configuration.

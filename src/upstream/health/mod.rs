//! What a service says of its own state.

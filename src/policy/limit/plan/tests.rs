//! The limits of a rule, asked with a clock of the test's own.

//! Why a request matches what it matches, as data.

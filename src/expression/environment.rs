//! The interpreter's environment: its standard library and strings extension, and the functions of ours.

use std::sync::{Arc, LazyLock};

use cel::{DeclarationError, Env};

use super::stock::dynamic;
use super::{budget, map, numbers, texts, times};

/// The environment of every expression.
pub(super) static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(environment()));

/// The environment, without optional values.
pub(super) fn environment() -> Env {
    let mut env = Env::stdlib().with_optional_support(false);
    // Their names are no others', so this never fails; if it did, every expression that needs them would.
    let _ = declare(&mut env);
    env
}

fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    cel::extensions::strings(env)?;
    env.add_overload("@map", "@map", dynamic(1), map::made)?;
    numbers::declare(env)?;
    texts::declare(env)?;
    times::declare(env)?;
    budget::declare(env)
}

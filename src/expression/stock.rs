//! What functions of ours in the interpreter are made of, and the interpreter's own where one of ours stands in for it.

use std::sync::LazyLock;

use cel::common::types::{DYN_TYPE, Type};
use cel::common::value::CowVal;
use cel::{Env, ExecutionError};

/// What a function of the interpreter gives.
pub(super) type Outcome<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// The name of the type of what no expression sees.
pub(super) const HIDDEN: &str = "hidden";

/// Makes a type of ours a value of the interpreter, which knows it by a type of this name. It is a type of its own, so
/// that overloads keep it apart from every other, also from one of the same name.
macro_rules! interpreter_value {
    ($value:ty, $name:expr) => {
        impl ::cel::common::value::Val for $value {
            fn get_type(&self) -> &::cel::common::types::Type {
                <$value as ::cel::common::value::Val>::cel_type()
            }

            fn cel_type() -> &'static ::cel::common::types::Type {
                static TYPE: ::std::sync::LazyLock<::cel::common::types::Type> =
                    ::std::sync::LazyLock::new(|| ::cel::common::types::Type::new_unspecified_type($name));
                &TYPE
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn ::cel::common::value::Val + 'v> {
                Box::new(self.clone())
            }

            fn as_any(&self) -> Option<&dyn ::std::any::Any> {
                Some(self)
            }
        }

        impl ::cel::common::value::StaticVal for $value {}
    };
}

pub(super) use interpreter_value;

/// The interpreter's standard library, as it is.
static STANDARD: LazyLock<Env> = LazyLock::new(Env::stdlib);

/// What the interpreter's own function of that name gives.
pub(super) fn stock<'b, 'v>(name: &str, args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    match STANDARD.find_overload(name, &args) {
        Some(function) => function(args),
        None => Err(no_overload(name, &args)),
    }
}

/// So many arguments of any type.
pub(super) fn dynamic(count: usize) -> Vec<Type> {
    std::iter::repeat_with(|| DYN_TYPE).take(count).collect()
}

/// No function of that name takes these.
pub(super) fn no_overload(function: &str, args: &[CowVal<'_, '_>]) -> ExecutionError {
    let types = args.iter().map(|arg| arg.get_type().name().to_owned()).filter(|name| name != HIDDEN);
    ExecutionError::no_such_overload(function, types.collect())
}

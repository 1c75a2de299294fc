//! Numbers in the interpreter: its own doubles lose digits, so those of JSON pass through it with their text, and what
//! compares or calculates goes through functions that know them.

use std::any::Any;
use std::cmp::Ordering;
use std::sync::LazyLock;

use cel::common::ast::{CallExpr, Expr, operators};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelString, CelUInt, DYN_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val as CelVal};
use cel::{DeclarationError, Env, ExecutionError, IdedExpr};

use crate::exchange::number::{Decimal, Magnitude, exact_double};

/// The message of a calculation that would lose digits.
pub(super) const LOSES_DIGITS: &str =
    "would lose digits of a number: compare it, or take it as text by `string()`";

/// A number of JSON that is no integer of 64 bits.
#[derive(Clone, Debug)]
pub(super) struct Carried(pub(super) Decimal<'static>);

/// A type of its own, so that overloads tell it from a double; expressions see the name alone.
static CARRIED: LazyLock<Type> = LazyLock::new(|| Type::new_unspecified_type("double"));

impl CelVal for Carried {
    fn get_type(&self) -> &Type {
        &CARRIED
    }

    fn cel_type() -> &'static Type {
        &CARRIED
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn CelVal + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Carried {}

type Outcome<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// An operator or function, and what stands in for it. No expression can name these.
const STAND_INS: &[(&str, &str)] = &[
    (operators::EQUALS, "@equal"),
    (operators::NOT_EQUALS, "@unequal"),
    (operators::LESS, "@less"),
    (operators::LESS_EQUALS, "@less_equal"),
    (operators::GREATER, "@greater"),
    (operators::GREATER_EQUALS, "@greater_equal"),
    (operators::IN, "@contained"),
    ("double", "@double"),
];

/// The function that turns a number that is also a double into one.
const DOUBLE: &str = "@as_double";

/// Operators and functions whose arguments are turned into doubles.
const CALCULATING: &[&str] = &[
    operators::ADD,
    operators::SUBSTRACT,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::NEGATE,
    "int",
    "uint",
];

/// Adds the functions to an environment.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    let two = || vec![DYN_TYPE, DYN_TYPE];
    env.add_overload("@equal", "@equal", two(), |args| truth(equal(&*args[0], &*args[1])))?;
    env.add_overload("@unequal", "@unequal", two(), |args| truth(!equal(&*args[0], &*args[1])))?;
    env.add_overload("@less", "@less", two(), |args| compared("_<_", &args, Ordering::is_lt))?;
    env.add_overload("@less_equal", "@less_equal", two(), |args| compared("_<=_", &args, Ordering::is_le))?;
    env.add_overload("@greater", "@greater", two(), |args| compared("_>_", &args, Ordering::is_gt))?;
    env.add_overload("@greater_equal", "@greater_equal", two(), |args| {
        compared("_>=_", &args, Ordering::is_ge)
    })?;
    env.add_overload("@contained", "@contained", two(), contained)?;
    env.add_overload("@double", "@double", vec![DYN_TYPE], double)?;
    env.add_overload(DOUBLE, DOUBLE, vec![DYN_TYPE], as_double)?;
    env.add_overload("string", "@carried_to_string", vec![CARRIED.to_owned()], |args| {
        let carried = args[0].downcast_ref::<Carried>().ok_or_else(|| no_overload("string", &args))?;
        Ok(CowVal::owned(CelString::from(carried.0.text().to_owned())))
    })
}

/// Lets the functions stand in for the operators of a call, whose arguments have been rewritten.
pub(super) fn rewrite(call: &mut CallExpr) {
    if call.target.is_some() {
        return;
    }
    if let Some((_, name)) = STAND_INS.iter().find(|(name, _)| *name == call.func_name) {
        call.func_name = (*name).to_owned();
    } else if call.func_name == operators::INDEX {
        call.args.iter_mut().skip(1).for_each(wrap);
    } else if CALCULATING.contains(&call.func_name.as_str())
        // Lists are joined, and a loop appends to its own result in a shape that the interpreter knows.
        && !call.args.iter().any(|arg| matches!(arg.expr, Expr::List(_)))
    {
        call.args.iter_mut().for_each(wrap);
    }
}

fn wrap(arg: &mut IdedExpr) {
    let is_own = match &arg.expr {
        Expr::Literal(_) => true,
        // What a loop gathers; the simple parts that were cut out are numbered.
        Expr::Ident(name) => name.strip_prefix('@').is_some_and(|name| name.parse::<usize>().is_err()),
        _ => false,
    };
    if is_own {
        return;
    }
    let id = arg.id;
    let inner = std::mem::replace(arg, IdedExpr { id, expr: Expr::Unspecified });
    arg.expr = Expr::Call(CallExpr { func_name: DOUBLE.to_owned(), target: None, args: vec![inner] });
}

fn truth<'b, 'v>(truth: bool) -> Outcome<'b, 'v> {
    Ok(CowVal::owned(CelBool::from(truth)))
}

fn no_overload(function: &str, args: &[CowVal<'_, '_>]) -> ExecutionError {
    let types = args.iter().map(|arg| arg.get_type().name().to_owned()).collect();
    ExecutionError::no_such_overload(function, types)
}

fn loses_digits<'b, 'v>(function: &str) -> Outcome<'b, 'v> {
    Err(ExecutionError::FunctionError { function: function.to_owned(), message: LOSES_DIGITS.to_owned() })
}

fn magnitude<'b>(value: &'b (dyn CelVal + '_)) -> Option<Magnitude<'b>> {
    if let Some(Carried(decimal)) = value.downcast_ref::<Carried>() {
        return Some(decimal.magnitude());
    }
    if let Some(int) = value.downcast_ref::<CelInt>() {
        return Some(Magnitude::Int(*int.inner()));
    }
    if let Some(double) = value.downcast_ref::<CelDouble>() {
        return Some(Magnitude::Double(*double.inner()));
    }
    value.downcast_ref::<CelUInt>().map(|uint| Magnitude::Uint(*uint.inner()))
}

/// Equality by exact values, in lists and maps too.
fn equal(a: &(dyn CelVal + '_), b: &(dyn CelVal + '_)) -> bool {
    if let (Some(a), Some(b)) = (magnitude(a), magnitude(b)) {
        return a.equals(b);
    }
    if let (Some(a), Some(b)) = (a.downcast_ref::<CelList>(), b.downcast_ref::<CelList>()) {
        let (a, b) = (a.inner(), b.inner());
        return a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a.as_ref(), b.as_ref()));
    }
    if let (Some(map), Some(other)) = (a.downcast_ref::<CelMap>(), b.downcast_ref::<CelMap>()) {
        return map.inner().len() == other.inner().len()
            && map.inner().iter().all(|(key, value)| {
                let found = b.as_indexer().and_then(|map| map.get(key.inner()).ok());
                found.is_some_and(|found| equal(value.as_ref(), &*found))
            });
    }
    a.equals(b)
}

fn compared<'b, 'v>(operator: &str, args: &[CowVal<'b, 'v>], holds: fn(Ordering) -> bool) -> Outcome<'b, 'v> {
    let (a, b) = (&*args[0], &*args[1]);
    let ordering = match (magnitude(a), magnitude(b)) {
        (Some(a), Some(b)) => a.compare(b),
        _ => a.as_comparer().and_then(|a| a.compare(b).ok()),
    };
    truth(holds(ordering.ok_or_else(|| no_overload(operator, args))?))
}

fn contained<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let (item, container) = (&*args[0], &*args[1]);
    if let Some(list) = container.downcast_ref::<CelList>() {
        return truth(list.inner().iter().any(|other| equal(other.as_ref(), item)));
    }
    let item = as_double(vec![args[0].clone()])?;
    let found = container.as_container().and_then(|container| container.contains(&*item).ok());
    truth(found.ok_or_else(|| no_overload(operators::IN, &args))?)
}

fn as_double<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let Some(Carried(decimal)) = args[0].downcast_ref::<Carried>() else { return Ok(args.swap_remove(0)) };
    match decimal.double() {
        Some(double) => Ok(CowVal::owned(CelDouble::from(double))),
        None => loses_digits(""),
    }
}

/// `double(x)`, which fails where the double would be another number.
fn double<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let double = if let Some(text) = args[0].downcast_ref::<CelString>() {
        let text = text.inner();
        match text.parse::<f64>() {
            // Infinities and NaN are written in letters.
            Ok(double) if !text.bytes().any(|byte| byte.is_ascii_digit()) => Some(double),
            Ok(_) => exact_double(text),
            Err(_) => return Err(no_overload("double", &args)),
        }
    } else {
        match magnitude(&*args[0]) {
            None => return Err(no_overload("double", &args)),
            Some(Magnitude::Double(double)) => Some(double),
            Some(number @ Magnitude::Int(int)) => Some(int as f64).filter(|double| same(number, *double)),
            Some(number @ Magnitude::Uint(uint)) => Some(uint as f64).filter(|double| same(number, *double)),
            Some(Magnitude::Text(_)) => None,
        }
    };
    double.map_or_else(|| loses_digits("double"), |double| Ok(CowVal::owned(CelDouble::from(double))))
}

fn same(number: Magnitude<'_>, double: f64) -> bool {
    number.equals(Magnitude::Double(double))
}

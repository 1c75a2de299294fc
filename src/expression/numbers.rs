//! Numbers in the interpreter: its own doubles lose digits, so those of JSON pass through it with their text, and what
//! compares or calculates goes through functions that know them.

use std::cmp::Ordering;

use cel::common::ast::{CallExpr, Expr, operators};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelString, CelUInt, MAP_TYPE};
use cel::common::value::{CowVal, Val as CelVal};
use cel::{DeclarationError, Env, ExecutionError, IdedExpr};

use crate::exchange::number::{Decimal, Magnitude, exact_double};

use super::budget;
use super::map;
use super::stock::{Outcome, dynamic, interpreter_value, no_overload, stock};

/// The message of a calculation that would lose digits.
pub(super) const LOSES_DIGITS: &str =
    "would lose digits of a number: compare it, or take it as text by `string()`";

/// A number of JSON that is no integer of 64 bits.
#[derive(Clone, Debug)]
pub(super) struct Carried(pub(super) Decimal<'static>);

// Expressions see the name alone.
interpreter_value!(Carried, "double");

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
    ("string", "@string"),
];

/// The function that turns a number that is also a double into one; with the budget it pays for its argument.
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
    // The third argument is the budget, in loops.
    for (count, paid) in [(2, ""), (3, "_paid")] {
        let mut add =
            |name: &str, function| env.add_overload(name, &format!("{name}{paid}"), dynamic(count), function);
        add("@equal", |args| truth(compared_equal(&args)?))?;
        add("@unequal", |args| truth(!compared_equal(&args)?))?;
        add("@less", |args| compared("_<_", &args, Ordering::is_lt))?;
        add("@less_equal", |args| compared("_<=_", &args, Ordering::is_le))?;
        add("@greater", |args| compared("_>_", &args, Ordering::is_gt))?;
        add("@greater_equal", |args| compared("_>=_", &args, Ordering::is_ge))?;
        add("@contained", contained)?;
    }
    env.add_overload("@double", "@double", dynamic(1), double)?;
    env.add_overload("@string", "@string", dynamic(1), string)?;
    env.add_overload(DOUBLE, DOUBLE, dynamic(1), as_double)?;
    env.add_overload(DOUBLE, "@as_double_paid", dynamic(2), |mut args| {
        if let Some(budget) = budget::handed(&args, 1) {
            budget.pay(&*args[0])?;
        }
        args.truncate(1);
        as_double(args)
    })
}

/// Lets the functions stand in for the operators of a call, whose arguments have been rewritten. `looped`: it is
/// evaluated more than once; `pays`: what it adds may be large.
pub(super) fn rewrite(call: &mut CallExpr, looped: bool, pays: bool) {
    if call.target.is_some() {
        return;
    }
    if let Some((operator, name)) = STAND_INS.iter().find(|(name, _)| *name == call.func_name) {
        call.func_name = (*name).to_owned();
        if looped && call.args.len() == 2 && *operator != "double" {
            call.args.push(budget::variable(call.args[0].id));
        }
    } else if call.func_name == operators::INDEX {
        call.args.iter_mut().skip(1).for_each(|arg| wrap(arg, false));
    } else if call.func_name == operators::ADD {
        // A loop appends to its own result in a shape that the interpreter knows.
        if !call.args.first().is_some_and(is_gathered) {
            call.args.iter_mut().for_each(|arg| wrap(arg, pays));
        }
    } else if CALCULATING.contains(&call.func_name.as_str()) {
        call.args.iter_mut().for_each(|arg| wrap(arg, false));
    }
}

/// Whether it is what a loop gathers; the simple parts that were cut out are numbered.
fn is_gathered(part: &IdedExpr) -> bool {
    let Expr::Ident(name) = &part.expr else { return false };
    name.strip_prefix('@').is_some_and(|name| name.parse::<usize>().is_err())
}

fn wrap(arg: &mut IdedExpr, pays: bool) {
    if matches!(arg.expr, Expr::Literal(_)) || is_gathered(arg) {
        return;
    }
    let id = arg.id;
    let inner = std::mem::replace(arg, IdedExpr { id, expr: Expr::Unspecified });
    let args = if pays { vec![inner, budget::variable(id)] } else { vec![inner] };
    arg.expr = Expr::Call(CallExpr { func_name: DOUBLE.to_owned(), target: None, args });
}

fn truth<'b, 'v>(truth: bool) -> Outcome<'b, 'v> {
    Ok(CowVal::owned(CelBool::from(truth)))
}

/// The error of a calculation that would lose digits.
pub(super) fn loses_digits<'b, 'v>(function: &str) -> Outcome<'b, 'v> {
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
pub(super) fn equal(a: &(dyn CelVal + '_), b: &(dyn CelVal + '_)) -> bool {
    if let (Some(a), Some(b)) = (magnitude(a), magnitude(b)) {
        return a.equals(b);
    }
    if let (Some(a), Some(b)) = (a.downcast_ref::<CelList>(), b.downcast_ref::<CelList>()) {
        let (a, b) = (a.inner(), b.inner());
        return a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a.as_ref(), b.as_ref()));
    }
    if *a.get_type() == MAP_TYPE && *b.get_type() == MAP_TYPE {
        let size = |map: &dyn CelVal| map.as_sizer().map(|sizer| *sizer.size().inner());
        let Some(others) = b.as_indexer().filter(|_| size(a) == size(b)) else { return false };
        let same = map::each(a, |key, value| match others.get(key) {
            Ok(other) if equal(value, &*other) => Ok(()),
            _ => Err(()),
        });
        return same == Ok(true);
    }
    a.equals(b)
}

fn compared_equal(args: &[CowVal<'_, '_>]) -> Result<bool, ExecutionError> {
    if let Some(budget) = budget::handed(args, 2) {
        budget.pay(&*args[0])?;
    }
    Ok(equal(&*args[0], &*args[1]))
}

fn compared<'b, 'v>(operator: &str, args: &[CowVal<'b, 'v>], holds: fn(Ordering) -> bool) -> Outcome<'b, 'v> {
    let (a, b) = (&*args[0], &*args[1]);
    if let Some(budget) = budget::handed(args, 2) {
        budget.pay(a)?;
    }
    let ordering = match (magnitude(a), magnitude(b)) {
        (Some(a), Some(b)) => a.compare(b),
        _ => a.as_comparer().and_then(|a| a.compare(b).ok()),
    };
    truth(holds(ordering.ok_or_else(|| no_overload(operator, args))?))
}

fn contained<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let (item, container) = (&*args[0], &*args[1]);
    if let Some(list) = container.downcast_ref::<CelList>() {
        if let Some(budget) = budget::handed(&args, 2) {
            budget.pay(container)?;
        }
        return truth(list.inner().iter().any(|other| equal(other.as_ref(), item)));
    }
    let item = as_double(vec![args[0].clone()])?;
    let found = container.as_container().and_then(|container| container.contains(&*item).ok());
    truth(found.ok_or_else(|| no_overload(operators::IN, &args))?)
}

/// `string(x)`: a number of JSON in its own digits, another double as [`double_text`] writes it.
fn string<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let text = if let Some(Carried(decimal)) = args[0].downcast_ref::<Carried>() {
        decimal.text().to_owned()
    } else if let Some(double) = args[0].downcast_ref::<CelDouble>() {
        double_text(*double.inner())
    } else {
        return stock("string", args);
    };
    Ok(CowVal::owned(CelString::from(text)))
}

/// A double as cel-go's `string()` writes it (Go's `%g`): as many digits as tell it from every other double, with an
/// exponent below 1e-4 and from 1e6 on.
pub(super) fn double_text(double: f64) -> String {
    if !double.is_finite() {
        let text = if double.is_nan() {
            "NaN"
        } else if double > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return text.to_owned();
    }
    let scientific = format!("{double:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => double.to_string(),
    }
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

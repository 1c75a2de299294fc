//! What one evaluation may cost. Loops pay for all of their rounds before the first, and what makes values or looks at
//! all of them pays for their size, so no expression takes long or much memory, whatever it is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cel::ExecutionError;
use cel::common::ast::{CallExpr, Expr, LiteralValue};
use cel::common::types::{CelBytes, CelInt, CelList, CelString};
use cel::common::value::{CowVal, Val as CelVal};
use cel::{DeclarationError, Env, IdedExpr};

use super::map;
use super::stock::{HIDDEN, Outcome, dynamic, interpreter_value};

/// What an evaluation has to spend: one for a part of an expression that a loop evaluates, for a value that is looked
/// at or copied, and for each further 64 bytes of one.
pub(super) const BUDGET: u64 = 1_000_000;

/// Bytes that cost one.
const BYTES: usize = 64;

/// The message of an evaluation that was given up.
pub(super) const TOO_COSTLY: &str = "costs too much: loops over fewer items, or makes less";

/// The variable that holds it.
pub(super) const VARIABLE: &str = "@budget";

/// What is left, and 0 once more was asked for.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<AtomicU64>);

interpreter_value!(Budget, HIDDEN);

impl Budget {
    pub(super) fn new() -> Budget {
        Budget(Arc::new(AtomicU64::new(BUDGET)))
    }

    /// Whether more was asked for than there was. Nothing that came out counts then: `||` may have hidden the error.
    pub(super) fn is_spent(&self) -> bool {
        self.left() == 0
    }

    fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn spend(&self, cost: u64) -> Result<(), ExecutionError> {
        // An evaluation has one thread, so nothing comes in between.
        let left = self.left().saturating_sub(cost);
        self.0.store(left, Ordering::Relaxed);
        if left == 0 { Err(ExecutionError::function_error("@budget", TOO_COSTLY)) } else { Ok(()) }
    }

    /// Pays for looking at or copying a value.
    pub(super) fn pay(&self, value: &(dyn CelVal + '_)) -> Result<(), ExecutionError> {
        self.spend(weight(value, self.left()))
    }
}

/// The budget among the arguments of a function of ours, where it is handed one.
pub(super) fn handed<'a>(args: &'a [CowVal<'_, '_>], at: usize) -> Option<&'a Budget> {
    args.get(at)?.downcast_ref::<Budget>()
}

/// What a value weighs; counting ends once it is `most`.
fn weight(value: &(dyn CelVal + '_), most: u64) -> u64 {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return 1 + (text.inner().len() / BYTES) as u64;
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        return 1 + (bytes.inner().len() / BYTES) as u64;
    }
    let mut sum = 1;
    if let Some(list) = value.downcast_ref::<CelList>() {
        for item in list.inner() {
            if sum >= most {
                break;
            }
            sum += weight(item.as_ref(), most);
        }
        return sum;
    }
    let _ = map::each(value, |key, value| {
        sum += weight(key, most) + weight(value, most);
        if sum < most { Ok(()) } else { Err(()) }
    });
    sum
}

/// Adds the functions that pay.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("@paid", "@paid", dynamic(2), paid)?;
    env.add_overload("@over", "@over", dynamic(3), over)
}

/// `@paid(@budget, x)` is `x`.
fn paid<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    if let Some(budget) = handed(&args, 0) {
        budget.pay(&*args[1])?;
    }
    Ok(args.swap_remove(1))
}

/// `@over(@budget, range, parts)` is `range`, paid for as often as a loop over it evaluates its parts.
fn over<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    if let (Some(budget), Some(parts)) = (handed(&args, 0), args[2].downcast_ref::<CelInt>()) {
        let rounds = args[1].as_sizer().map_or(0, |sizer| u64::try_from(*sizer.size().inner()).unwrap_or(0));
        let parts = u64::try_from(*parts.inner()).unwrap_or(u64::MAX);
        budget.spend(rounds.saturating_mul(parts))?;
        budget.pay(&*args[1])?;
    }
    Ok(args.swap_remove(1))
}

/// The variable as a part of a tree.
pub(super) fn variable(id: u64) -> IdedExpr {
    IdedExpr { id, expr: Expr::Ident(VARIABLE.to_owned()) }
}

/// Puts `name(@budget, part, more...)` in place of the part.
fn wrap(part: &mut IdedExpr, name: &str, more: Option<i64>) {
    let id = part.id;
    let inner = std::mem::replace(part, IdedExpr { id, expr: Expr::Unspecified });
    let mut args = vec![variable(id), inner];
    args.extend(more.map(|more| IdedExpr { id, expr: Expr::Literal(LiteralValue::Int(more.into())) }));
    part.expr = Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args });
}

/// Lets a part pay for its value.
pub(super) fn pay_for(part: &mut IdedExpr) {
    wrap(part, "@paid", None);
}

/// Lets the range of a loop pay for all rounds, each of so many parts.
pub(super) fn pay_rounds(range: &mut IdedExpr, parts: usize) {
    wrap(range, "@over", Some(i64::try_from(parts).unwrap_or(i64::MAX)));
}

//! Maps in the interpreter: its own are walked in an order that changes with every value, these in the order in which
//! their members came.

use std::borrow::Cow;
use std::sync::Arc;

use cel::ExecutionError;
use cel::common::traits::{self, Container, Indexer, Iterable, Sizer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelMapKey, CelString, CelUInt, MAP_TYPE, Type};
use cel::common::value::{Builtin, CowVal, Val as CelVal};
use indexmap::IndexMap;

use crate::runtime::hash::Seed;

/// A map whose keys keep their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Ordered<'v>(IndexMap<CelMapKey<'v>, Box<dyn CelVal + 'v>, Seed>);

impl<'v> Ordered<'v> {
    /// A map of texts' names; of a name that stands twice the first counts.
    pub(super) fn named(members: impl Iterator<Item = (Cow<'v, str>, Box<dyn CelVal + 'v>)>) -> Ordered<'v> {
        let mut map = Ordered::default();
        map.0.reserve(members.size_hint().0);
        for (name, value) in members {
            let name = match name {
                Cow::Borrowed(name) => CelMapKey::from(name),
                Cow::Owned(name) => CelMapKey::from(name),
            };
            map.0.entry(name).or_insert(value);
        }
        map
    }

    fn find(&self, key: &dyn CelVal) -> Option<usize> {
        let int = |int: i64| self.0.get_index_of(&CelMapKey::from(int));
        let uint = |uint: u64| self.0.get_index_of(&CelMapKey::from(uint));
        if let Some(text) = key.downcast_ref::<CelString>() {
            return self.0.get_index_of(&CelMapKey::from(text.inner()));
        }
        // Keys compare as numbers do: `{1u: 'a'}[1]` is there.
        if let Some(key) = key.downcast_ref::<CelInt>().map(|key| *key.inner()) {
            return int(key).or_else(|| uint(u64::try_from(key).ok()?));
        }
        if let Some(key) = key.downcast_ref::<CelUInt>().map(|key| *key.inner()) {
            return uint(key).or_else(|| int(i64::try_from(key).ok()?));
        }
        if let Some(key) = key.downcast_ref::<CelDouble>().map(|key| *key.inner()) {
            // Beyond 2^63 the conversion saturates, and what it gives is another number.
            let (as_int, as_uint) = (key as i64, key as u64);
            let found = (as_int as f64 == key && as_int != i64::MAX).then(|| int(as_int)).flatten();
            return found
                .or_else(|| (as_uint as f64 == key && as_uint != u64::MAX).then(|| uint(as_uint)).flatten());
        }
        let key = *key.downcast_ref::<CelBool>()?.inner();
        self.0.get_index_of(&CelMapKey::from(key))
    }

    /// The value at a key, or why there is none.
    fn at(&self, key: &dyn CelVal) -> Result<usize, ExecutionError> {
        self.find(key).ok_or_else(|| match is_key(key) {
            // The key may be a value that a request carried, which no message shows.
            true => ExecutionError::NoSuchKey(Arc::default()),
            false => unexpected(key),
        })
    }
}

fn is_key(key: &dyn CelVal) -> bool {
    key.downcast_ref::<CelString>().is_some()
        || key.downcast_ref::<CelInt>().is_some()
        || key.downcast_ref::<CelUInt>().is_some()
        || key.downcast_ref::<CelDouble>().is_some()
        || key.downcast_ref::<CelBool>().is_some()
}

fn unexpected(key: &dyn CelVal) -> ExecutionError {
    ExecutionError::UnexpectedType { got: key.get_type().name().to_owned(), want: "map key".to_owned() }
}

impl<'v> CelVal for Ordered<'v> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, other: &dyn CelVal) -> bool {
        let size = other.as_sizer().map(|sizer| *sizer.size().inner());
        let Some(others) = other.as_indexer().filter(|_| size == Some(*self.size().inner())) else {
            return false;
        };
        self.0.iter().all(|(key, value)| others.get(key.inner()).is_ok_and(|other| value.equals(&*other)))
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn CelVal + 'w>
    where
        Self: 'w,
    {
        Box::new(self.clone())
    }
}

impl Container for Ordered<'_> {
    fn contains(&self, key: &dyn CelVal) -> Result<bool, ExecutionError> {
        match self.find(key) {
            Some(_) => Ok(true),
            None if is_key(key) => Ok(false),
            None => Err(unexpected(key)),
        }
    }
}

impl<'v> Indexer for Ordered<'v> {
    fn get<'b, 'w>(&'b self, key: &dyn CelVal) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let at = self.at(key)?;
        let (_, value) = self.0.get_index(at).ok_or_else(|| unexpected(key))?;
        Ok(CowVal::Borrowed(&**value))
    }

    fn steal<'w>(mut self: Box<Self>, key: &dyn CelVal) -> Result<Box<dyn CelVal + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let at = self.at(key)?;
        let (_, value) = self.0.swap_remove_index(at).ok_or_else(|| unexpected(key))?;
        Ok(value)
    }
}

impl Iterable for Ordered<'_> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn traits::Iterator<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Keys(self.0.keys()))
    }
}

struct Keys<'b, 'v>(indexmap::map::Keys<'b, CelMapKey<'v>, Box<dyn CelVal + 'v>>);

impl<'b, 'v: 'w, 'w> traits::Iterator<'b, 'w> for Keys<'b, 'v> {
    fn next(&mut self) -> Option<&'b (dyn CelVal + 'w)> {
        self.0.next().map(|key| key.inner() as &(dyn CelVal + 'w))
    }
}

impl Sizer for Ordered<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.0.len()).unwrap_or(i64::MAX))
    }
}

/// What a map in an expression evaluates to, out of a list of its keys and values in turn.
///
/// # Errors
/// A key of a type that is none, or one that stands twice.
pub(super) fn made<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let list = args.swap_remove(0).into_owned();
    let type_name = list.get_type().name().to_owned();
    let Some(Builtin::List(list)) = list.into_builtin() else {
        return Err(ExecutionError::UnexpectedType { got: type_name, want: "list".to_owned() });
    };
    let mut map = Ordered::default();
    let mut parts = list.into_inner().into_iter();
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        let key = CelMapKey::try_from(key)?;
        if map.find(key.inner()).is_some() {
            return Err(ExecutionError::function_error("@map", "a key stands twice"));
        }
        map.0.insert(key, value);
    }
    Ok(CowVal::owned(map))
}

/// Calls `visit` with the key and the value of each member, in order; false where the value is no map.
pub(super) fn each<'v, E>(
    map: &(dyn CelVal + 'v),
    mut visit: impl FnMut(&(dyn CelVal + 'v), &(dyn CelVal + 'v)) -> Result<(), E>,
) -> Result<bool, E> {
    if *map.get_type() != MAP_TYPE {
        return Ok(false);
    }
    let (Some(keys), Some(values)) = (map.as_iterable(), map.as_indexer()) else { return Ok(false) };
    let mut keys = keys.iter();
    while let Some(key) = keys.next() {
        if let Ok(value) = values.get(key) {
            visit(key, &*value)?;
        }
    }
    Ok(true)
}

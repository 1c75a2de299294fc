//! Values on their way into the interpreter and out of it.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cel::common::types::{CelBool, CelBytes, CelDouble, CelInt, CelList, CelNull, CelString, CelUInt};
use cel::common::value::Val as CelVal;

use crate::exchange::{JsonValue as Json, Members};

use super::error::Why;
use super::map::{self, Ordered};
use super::numbers::Carried;
use super::times;
use super::value::Val;

/// The value as the interpreter wants it; texts stay borrowed.
pub(super) fn into_cel<'a>(value: Val<'a>) -> Box<dyn CelVal + 'a> {
    match value {
        Val::Null => Box::new(CelNull),
        Val::Bool(truth) => Box::new(CelBool::from(truth)),
        Val::Int(int) => Box::new(CelInt::from(int)),
        Val::Uint(uint) => Box::new(CelUInt::from(uint)),
        Val::Double(double) => Box::new(CelDouble::from(double)),
        Val::Decimal(decimal) => Box::new(Carried(decimal.into_owned())),
        Val::Text(text) => Box::new(CelString::from(text)),
        Val::Json(Json::Array(items)) => {
            let items: Vec<Box<dyn CelVal + 'a>> =
                items.iter().map(|item| into_cel(Val::of_json(item))).collect();
            Box::new(CelList::from(items))
        }
        Val::Json(Json::Object(members)) => {
            let member = |(name, value): (&'a String, &'a Json)| {
                (Cow::Borrowed(name.as_str()), into_cel(Val::of_json(value)))
            };
            Box::new(Ordered::named(members.iter().map(member)))
        }
        Val::Json(scalar) => into_cel(Val::of_json(scalar)),
        Val::Texts(texts) => {
            let texts: Vec<Box<dyn CelVal + 'a>> = texts
                .iter()
                .map(|text| Box::new(CelString::from(text.as_str())) as Box<dyn CelVal + 'a>)
                .collect();
            Box::new(CelList::from(texts))
        }
        Val::Pairs(pairs) => {
            let text = |value| Box::new(CelString::from(value)) as Box<dyn CelVal + 'a>;
            Box::new(Ordered::named(pairs.into_iter().map(|(name, value)| (name, text(value)))))
        }
        // Only the interpreter makes these, and it is not asked twice.
        Val::Made(_) | Val::Bytes(_) => Box::new(CelNull),
    }
}

/// What the interpreter gave.
pub(super) fn of_cel<'a>(value: &dyn CelVal) -> Result<Val<'a>, Why> {
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return Ok(Val::Bool(*truth.inner()));
    }
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Ok(Val::Text(Cow::Owned(text.inner().to_owned())));
    }
    if let Some(int) = value.downcast_ref::<CelInt>() {
        return Ok(Val::Int(*int.inner()));
    }
    if let Some(uint) = value.downcast_ref::<CelUInt>() {
        return Ok(Val::Uint(*uint.inner()));
    }
    if let Some(double) = value.downcast_ref::<CelDouble>() {
        return Ok(Val::Double(*double.inner()));
    }
    if let Some(Carried(decimal)) = value.downcast_ref::<Carried>() {
        return Ok(Val::Decimal(decimal.clone()));
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(Val::Null);
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        return Ok(Val::Bytes(STANDARD.encode(bytes.inner())));
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        let items: Result<Vec<Json>, Why> = list.inner().iter().map(|item| json_of(item.as_ref())).collect();
        return items.map(|items| Val::Made(Json::Array(items)));
    }
    if let Some(text) = times::text(value) {
        return Ok(Val::Text(Cow::Owned(text)));
    }
    let mut members = Members::default();
    let is_map = map::each(value, |key, value| {
        members.insert(name_of(key)?, json_of(value)?);
        Ok(())
    })?;
    if is_map {
        return Ok(Val::Made(Json::Object(Box::new(members))));
    }
    Err(Why::NotJson)
}

fn json_of(value: &dyn CelVal) -> Result<Json, Why> {
    of_cel(value)?.into_json()
}

/// The name of a member: as `string()` writes the key.
fn name_of(key: &dyn CelVal) -> Result<String, Why> {
    of_cel(key)?.into_text().map(Cow::into_owned)
}

//! Values on their way into the interpreter and out of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val as CelVal;

use crate::exchange::{JsonNumber, JsonValue as Json};

use super::error::Why;
use super::numbers::Carried;
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
            let members: HashMap<CelMapKey<'a>, Box<dyn CelVal + 'a>> = members
                .iter()
                .map(|(name, value)| (CelMapKey::from(name.as_str()), into_cel(Val::of_json(value))))
                .collect();
            Box::new(CelMap::from(members))
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
            let mut map: HashMap<CelMapKey<'a>, Box<dyn CelVal + 'a>> = HashMap::new();
            for (name, value) in pairs {
                let key = match name {
                    Cow::Borrowed(name) => CelMapKey::from(name),
                    Cow::Owned(name) => CelMapKey::from(name),
                };
                map.entry(key).or_insert_with(|| Box::new(CelString::from(value)));
            }
            Box::new(CelMap::from(map))
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
    if let Some(map) = value.downcast_ref::<CelMap>() {
        let mut members = BTreeMap::new();
        for (key, value) in map.inner() {
            members.insert(name_of(key), json_of(value.as_ref())?);
        }
        return Ok(Val::Made(Json::Object(members)));
    }
    Err(Why::NotJson)
}

fn json_of(value: &dyn CelVal) -> Result<Json, Why> {
    of_cel(value)?.into_json()
}

fn name_of(key: &CelMapKey<'_>) -> String {
    match key {
        CelMapKey::Bool(truth) => truth.inner().to_string(),
        CelMapKey::Int(int) => JsonNumber::Int(*int.inner()).to_string(),
        CelMapKey::UInt(uint) => uint.inner().to_string(),
        CelMapKey::String(text) => text.inner().to_owned(),
    }
}

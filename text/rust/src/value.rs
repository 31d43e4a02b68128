//! JSON text to template values; objects keep the order of their keys, as dicts do.

use crate::ffi::{Failure, Outcome};
use minijinja::Value;
use serde_json::Value as Json;

/// Depth is bounded by serde_json (128), so the recursion below is too.
pub fn parse(text: &str, what: &str) -> Outcome<Json> {
    serde_json::from_str(text).map_err(|error| Failure::invalid(format!("{what}: not valid JSON: {error}")))
}

pub fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

pub fn to_value(json: Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::from(value),
            (None, Some(value)) => Value::from(value),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text),
        Json::Array(items) => Value::from(items.into_iter().map(to_value).collect::<Vec<Value>>()),
        Json::Object(map) => Value::from_pairs(map.into_iter().map(|(key, value)| (key, to_value(value)))),
    }
}

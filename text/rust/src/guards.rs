//! The guards that `rewrite.rs` puts into compiled templates: they take fuel for what the engine does not count.

use crate::meter::{charge, charge_weight, check_kept, tick, UNIT_BYTES};
use indexmap::IndexMap;
use minijinja::value::{Rest, Tuple, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value};

pub const GUARD_PAIR: &str = "#pair";
pub const GUARD_IN: &str = "#contained";
pub const GUARD_PLAIN: &str = "#plain";
pub const GUARD_KEY: &str = "#key";
pub const GUARD_FEW: &str = "#few";
pub const GUARD_KEEP: &str = "#keep";
pub const GUARD_MAP: &str = "#dict";
pub const GUARD_TICK: &str = "#tick";

macro_rules! guarded {
    ($($name:literal)*) => { &[$(($name, concat!("#", $name))),*] };
}

/// Every filter and test of the engine and of `python.rs`, with its guard's name.
const FILTERS: &[(&str, &str)] = guarded!(
    "safe" "escape" "e" "lower" "upper" "title" "capitalize" "replace" "length" "count" "dictsort" "items" "reverse"
    "trim" "join" "split" "lines" "default" "d" "round" "abs" "int" "float" "attr" "first" "last" "min" "max" "sort"
    "list" "string" "bool" "batch" "slice" "sum" "indent" "select" "reject" "selectattr" "rejectattr" "map" "groupby"
    "unique" "chain" "zip" "pprint" "format" "tojson" "wordcount" "center"
);
const TESTS: &[(&str, &str)] = guarded!(
    "undefined" "defined" "none" "safe" "escaped" "boolean" "odd" "even" "divisibleby" "number" "integer" "int" "float"
    "string" "sequence" "iterable" "mapping" "startingwith" "endingwith" "lower" "upper" "sameas" "eq" "equalto" "=="
    "ne" "!=" "lt" "lessthan" "<" "le" "<=" "gt" "greaterthan" ">" "ge" ">=" "in" "true" "false" "filter" "test"
);

/// The guard's name where there is one; an unknown filter or test keeps its own, for the message.
pub fn guarded_name(name: &str) -> Option<&'static str> {
    FILTERS.iter().chain(TESTS).find(|entry| entry.0 == name).map(|entry| entry.1)
}

pub fn install(env: &mut Environment<'static>) {
    for (name, guard) in FILTERS {
        env.add_filter(*guard, |state: &mut State, args: Rest<ValueOrKwargs>| filter(state, name, args.into_values()));
    }
    for (name, guard) in TESTS {
        env.add_test(*guard, |state: &mut State, args: Rest<ValueOrKwargs>| test(state, name, &args.into_values()));
    }
    env.add_filter(GUARD_PAIR, |state: &State, a: Value, b: Value| -> Result<Value, Error> {
        charge_pair(state, &a, &b)?;
        Ok(Value::from(Tuple::from([a, b])))
    });
    env.add_filter(GUARD_IN, |state: &State, item: Value, container: Value| -> Result<Value, Error> {
        charge_contained(state, &item, &container)?;
        Ok(Value::from(Tuple::from([item, container])))
    });
    env.add_filter(GUARD_PLAIN, |state: &State, value: Value| plain(state, value));
    env.add_filter(GUARD_KEY, |state: &State, key: Value| -> Result<Value, Error> {
        charge_key(state, &key)?;
        Ok(key)
    });
    env.add_filter(GUARD_FEW, |state: &State, value: Value| -> Result<Value, Error> {
        let bytes = value.as_str().map_or(0, str::len) as u64;
        charge(state, bytes / 1024 + value.as_object().map_or(0, |_| value.len().unwrap_or(0) as u64 / 4))?;
        Ok(value)
    });
    env.add_filter(GUARD_KEEP, |state: &State, value: Value| -> Result<Value, Error> {
        check_kept(state, &value)?;
        Ok(value)
    });
    env.add_filter(GUARD_MAP, map_of);
    env.add_filter(GUARD_TICK, |value: Value| -> Result<Value, Error> {
        tick(256)?;
        Ok(value)
    });
}

fn map_of(state: &State, items: Value) -> Result<Value, Error> {
    let items: Vec<Value> = items.try_iter()?.collect();
    for pair in items.chunks_exact(2) {
        charge_key(state, &pair[0])?;
    }
    Ok(Value::from_pairs(items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()))))
}

/// Both hashed and compared.
pub fn charge_key(state: &State, key: &Value) -> Result<(), Error> {
    let units = charge_weight(state, key)?;
    charge(state, units.saturating_sub(1) / 16)
}

/// Compared, or written one behind the other.
pub fn charge_pair(state: &State, a: &Value, b: &Value) -> Result<(), Error> {
    match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => charge(state, a.len().min(b.len()) as u64 / 1024),
        _ => charge_weight(state, a).and_then(|_| charge_weight(state, b)).map(drop),
    }
}

fn charge_contained(state: &State, item: &Value, container: &Value) -> Result<(), Error> {
    match container.kind() {
        // Looking a key up does not walk the map.
        ValueKind::Map => charge_key(state, item),
        _ => charge_pair(state, item, container),
    }
}

fn test(state: &mut State, name: &str, args: &[Value]) -> Result<bool, Error> {
    match args {
        [item, container] if name == "in" => charge_contained(state, item, container)?,
        [a, b] => charge_pair(state, a, b)?,
        _ => args.iter().try_for_each(|value| charge_weight(state, value).map(drop))?,
    }
    state.perform_test(name, args)
}

fn filter(state: &mut State, name: &str, mut args: Vec<Value>) -> Result<Value, Error> {
    let mut units = 0u64;
    for value in &args {
        // These walk nothing but the top of what they get.
        let walks = !matches!(name, "length" | "count" | "default" | "d" | "first" | "last" | "items" | "attr");
        units = units.saturating_add(if walks { charge_weight(state, value)? } else { 1 });
    }
    charge(state, more_units(name, units, &args))?;
    let named = match name {
        "map" | "select" | "reject" => 1,
        "selectattr" | "rejectattr" => 2,
        _ => usize::MAX,
    };
    if let Some(argument) = args.get_mut(named) {
        if let Some(guard) = argument.as_str().and_then(guarded_name) {
            *argument = Value::from(guard);
        }
    }
    let made = state.apply_filter(name, &args)?;
    match made.kind() {
        ValueKind::Map => plain_map(state, made),
        _ => plain(state, made),
    }
}

/// What a filter does beyond walking its arguments once.
fn more_units(name: &str, units: u64, args: &[Value]) -> u64 {
    let count = args.first().and_then(Value::len).unwrap_or(0) as u64;
    let text = |at: usize| args.get(at).and_then(Value::as_str).unwrap_or_default();
    match name {
        "sort" | "unique" | "groupby" | "dictsort" => units.saturating_mul(u64::from(u64::BITS - units.leading_zeros())),
        "min" | "max" => units,
        // Numbers are added as they come; anything else is put together again at each step.
        "sum" => units.saturating_mul(count / 16 + 1),
        "join" => count.saturating_mul(text(1).len() as u64 / UNIT_BYTES),
        "trim" => trim_units(text(0), text(1)),
        "split" => split_units(text(0), args.get(1)),
        "lines" => text(0).len() as u64 / 16,
        "batch" | "slice" => args.get(1).and_then(Value::as_i64).map_or(0, |count| count.max(0) as u64 / 2),
        _ => 0,
    }
}

/// Each character of the text may be compared with each of the set.
pub fn trim_units(text: &str, set: &str) -> u64 {
    (text.len() as u64).saturating_mul(set.len() as u64) / 64
}

/// Each part becomes an item of a list.
pub fn split_units(text: &str, separator: Option<&Value>) -> u64 {
    match separator.and_then(Value::as_str) {
        Some(separator) if !separator.is_empty() => text.matches(separator).count() as u64,
        _ => text.split_whitespace().count() as u64,
    }
}

/// A plain list of what is lazy: it costs what it holds once, here, and not each time that it is read.
pub fn plain(state: &State, value: Value) -> Result<Value, Error> {
    let lazy = match value.kind() {
        ValueKind::Iterable => true,
        ValueKind::Seq => {
            value.downcast_object_ref::<Vec<Value>>().is_none() && value.downcast_object_ref::<Tuple>().is_none()
        }
        // A namespace, or a map that was copied.
        ValueKind::Map => return charge(state, value.len().unwrap_or(0) as u64 / 4).map(|()| value),
        _ => false,
    };
    if !lazy {
        return Ok(value);
    }
    let mut items = Vec::new();
    for item in value.try_iter()?.checked() {
        if items.len() % 2 == 0 {
            charge(state, 1)?;
        }
        items.push(item?);
    }
    Ok(Value::from(items))
}

fn plain_map(state: &State, map: Value) -> Result<Value, Error> {
    if map.downcast_object_ref::<IndexMap<Value, Value>>().is_some() {
        return Ok(map);
    }
    let mut pairs = Vec::new();
    for key in map.try_iter()?.checked() {
        let key = key?;
        charge_key(state, &key)?;
        charge(state, 1)?;
        let value = map.get_item(&key)?;
        pairs.push((key, value));
    }
    Ok(Value::from_pairs(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_have_names_of_their_own() {
        for (name, guard) in FILTERS.iter().chain(TESTS) {
            assert_eq!(*guard, format!("#{name}"));
        }
        assert_eq!(guarded_name("map"), Some("#map"));
        assert_eq!(guarded_name("unknown"), None);
    }
}

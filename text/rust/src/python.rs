//! Python's own ways that templates rely on and the engine or its contrib crate lack.

use crate::guards::{charge_key, charge_pair, split_units, trim_units};
use crate::meter::{charge, charge_weight, UNIT_BYTES};
use minijinja::value::{from_args, Tuple, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

pub fn install(env: &mut Environment<'static>) {
    env.set_unknown_method_callback(method);
    env.add_filter("int", to_int);
    env.add_filter("float", to_float);
    env.add_filter("wordcount", |text: &str| text.split_whitespace().count());
    env.add_filter("center", |state: &State, text: &str, width: Option<i64>| {
        pad(state, text, &[Value::from(width.unwrap_or(80))], center_sides)
    });
    env.add_test("iterable", |value: &Value| is_text(value) || has_items(value) || value.is_undefined());
    env.add_test("sequence", |value: &Value| {
        is_text(value) || matches!(value.kind(), ValueKind::Seq | ValueKind::Map) || value.is_undefined()
    });
}

/// Python puts the odd space left of an odd width's text and right of an even one's.
fn center_sides(missing: usize, width: usize) -> (usize, usize) {
    let left = missing / 2 + (missing & width & 1);
    (left, missing - left)
}

/// As Jinja's: what is no number gives the default.
fn to_int(value: &Value, default: Option<Value>, base: Option<u32>) -> Value {
    let default = default.unwrap_or_else(|| Value::from(0));
    match value.kind() {
        ValueKind::Bool => Value::from(i64::from(value.is_true())),
        ValueKind::Number if value.is_integer() => value.clone(),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default().trim().replace('_', "");
            let base = base.filter(|base| (2..=36).contains(base)).unwrap_or(10);
            match i128::from_str_radix(&text, base) {
                Ok(number) => i64::try_from(number).map_or_else(|_| Value::from(number), Value::from),
                Err(_) => text.parse::<f64>().ok().and_then(truncate).unwrap_or(default),
            }
        }
        _ => f64::try_from(value.clone()).ok().and_then(truncate).unwrap_or(default),
    }
}

fn truncate(number: f64) -> Option<Value> {
    (number.abs() < 9e18).then_some(Value::from(number.trunc() as i64))
}

fn to_float(value: &Value, default: Option<Value>) -> Value {
    let number = match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::String => value.as_str().unwrap_or_default().trim().parse().ok(),
        _ => f64::try_from(value.clone()).ok(),
    };
    number.map_or_else(|| default.unwrap_or_else(|| Value::from(0.0)), Value::from)
}

fn is_text(value: &Value) -> bool {
    value.kind() == ValueKind::String
}

fn has_items(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable)
}

fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.kind(), name) {
        (ValueKind::Map, "get") => args.first().map_or(Ok(()), |key| charge_key(state, key))?,
        (ValueKind::Seq, "count" | "index") => args.iter().try_for_each(|item| charge_pair(state, value, item))?,
        _ => args.iter().try_for_each(|argument| charge_weight(state, argument).map(drop))?,
    }
    if let Some(text) = value.as_str() {
        // A method may read the whole string and return little.
        charge(state, 1 + text.len() as u64 / UNIT_BYTES)?;
        charge(state, text_units(text, name, args))?;
        if let Some(result) = text_method(state, text, name, args) {
            return result;
        }
    }
    if value.kind() == ValueKind::Seq && name == "index" {
        return list_index(value, args);
    }
    pycompat::unknown_method_callback(state, value, name, args)
}

/// What a method of a string does beyond reading it once.
fn text_units(text: &str, name: &str, args: &[Value]) -> u64 {
    let argument = args.first();
    match name {
        "strip" | "lstrip" | "rstrip" => trim_units(text, argument.and_then(Value::as_str).unwrap_or_default()),
        "split" | "rsplit" => split_units(text, argument),
        "splitlines" => split_units(text, Some(&Value::from("\n"))),
        // The string stands between the items.
        "join" => argument.and_then(Value::len).unwrap_or(0) as u64 * (text.len() as u64 / UNIT_BYTES),
        _ => 0,
    }
}

fn list_index(value: &Value, args: &[Value]) -> Result<Value, Error> {
    let (what,): (Value,) = from_args(args)?;
    for (i, item) in value.try_iter()?.enumerate() {
        if item == what {
            return Ok(Value::from(i));
        }
    }
    Err(Error::new(ErrorKind::InvalidOperation, format!("{what} is not in the list")))
}

/// None where the contrib crate has the method.
fn text_method(state: &State, text: &str, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    Some(match name {
        "replace" => replace(state, text, args),
        "join" => join(state, text, args),
        "format" => return ensure_format(state, text, args).err().map(Err),
        "removeprefix" => one(args).map(|what| Value::from(text.strip_prefix(what.as_str()).unwrap_or(text))),
        "removesuffix" => one(args).map(|what| Value::from(text.strip_suffix(what.as_str()).unwrap_or(text))),
        "partition" => one(args).and_then(|what| partition(text, &what, text.split_once(what.as_str()), false)),
        "rpartition" => one(args).and_then(|what| partition(text, &what, text.rsplit_once(what.as_str()), true)),
        "rsplit" => rsplit(text, args),
        "index" => position(text, args, |text, what| text.find(what)),
        "rindex" => position(text, args, |text, what| text.rfind(what)),
        "casefold" => none(args).map(|()| Value::from(text.to_lowercase())),
        "swapcase" => none(args).map(|()| Value::from(text.chars().map(swap_case).collect::<String>())),
        "istitle" => none(args).map(|()| Value::from(is_title(text))),
        "ljust" => pad(state, text, args, |missing, _| (0, missing)),
        "rjust" => pad(state, text, args, |missing, _| (missing, 0)),
        "center" => pad(state, text, args, center_sides),
        "zfill" => zero_fill(state, text, args),
        _ => return None,
    })
}

/// Fails before a result of that size is made, if the fuel could not pay for it.
fn ensure(state: &State, bytes: usize) -> Result<(), Error> {
    match state.fuel_levels() {
        Some((_, rest)) if bytes as u64 / 64 >= rest => state.consume_fuel(rest + 1),
        _ => Ok(()),
    }
}

fn replace(state: &State, text: &str, args: &[Value]) -> Result<Value, Error> {
    let (old, new, most): (&str, &str, Option<i64>) = from_args(args)?;
    let most = most.filter(|most| *most >= 0).map_or(usize::MAX, |most| most as usize);
    let count = text.matches(old).count().min(most);
    ensure(state, text.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(Value::from(text.replacen(old, new, count)))
}

fn join(state: &State, separator: &str, args: &[Value]) -> Result<Value, Error> {
    let (values,): (&Value,) = from_args(args)?;
    let mut joined = String::new();
    for (i, value) in values.try_iter()?.checked().enumerate() {
        let value = value?;
        let part = value.as_str().ok_or_else(|| {
            let what = format!("join: item {i}: expected a string, found {}", value.kind());
            Error::new(ErrorKind::InvalidOperation, what)
        })?;
        if i > 0 {
            joined.push_str(separator);
        }
        joined.push_str(part);
        ensure(state, joined.len().saturating_add(separator.len()))?;
    }
    Ok(Value::from(joined))
}

/// The contrib crate formats without limits: widths and repeated arguments are summed up before.
fn ensure_format(state: &State, format: &str, args: &[Value]) -> Result<(), Error> {
    let numbers = format.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let mut bytes = numbers.fold(0usize, |sum, digits| sum.saturating_add(digits.parse().unwrap_or(usize::MAX)));
    let places = format.matches('{').count();
    for value in args {
        let size = match value.as_str() {
            Some(text) => text.len(),
            None => state.env().empty_state().format(value.clone())?.len(),
        };
        bytes = bytes.saturating_add(size.saturating_mul(places));
    }
    ensure(state, bytes)
}

fn none(args: &[Value]) -> Result<(), Error> {
    let (): () = from_args(args)?;
    Ok(())
}

fn one(args: &[Value]) -> Result<String, Error> {
    let (what,): (String,) = from_args(args)?;
    Ok(what)
}

fn partition(text: &str, what: &str, parts: Option<(&str, &str)>, from_right: bool) -> Result<Value, Error> {
    if what.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
    }
    let three = match parts {
        Some((left, right)) => [left, what, right],
        None if from_right => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::from(Tuple::new(three.into_iter().map(Value::from).collect())))
}

fn rsplit(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (what, most): (Option<String>, Option<i64>) = from_args(args)?;
    let limit = most.filter(|most| *most >= 0).map_or(usize::MAX, |most| most as usize + 1);
    let mut parts: Vec<Value> = match what {
        Some(what) if what.is_empty() => {
            return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
        }
        Some(what) => text.rsplitn(limit, what.as_str()).map(Value::from).collect(),
        None if limit == usize::MAX => text.split_whitespace().rev().map(Value::from).collect(),
        None => return Err(Error::new(ErrorKind::InvalidOperation, "rsplit with a limit needs a separator")),
    };
    parts.reverse();
    Ok(Value::from(parts))
}

fn position(text: &str, args: &[Value], find: impl Fn(&str, &str) -> Option<usize>) -> Result<Value, Error> {
    let what = one(args)?;
    match find(text, &what) {
        Some(at) => Ok(Value::from(text[..at].chars().count())),
        None => Err(Error::new(ErrorKind::InvalidOperation, "substring not found")),
    }
}

fn swap_case(character: char) -> char {
    let swapped = if character.is_uppercase() {
        character.to_lowercase().next()
    } else {
        character.to_uppercase().next()
    };
    swapped.unwrap_or(character)
}

fn is_title(text: &str) -> bool {
    let mut cased = false;
    let mut inside = false;
    for character in text.chars() {
        if (character.is_uppercase() && inside) || (character.is_lowercase() && !inside) {
            return false;
        }
        inside = character.is_uppercase() || character.is_lowercase();
        cased |= inside;
    }
    cased
}

fn missing(state: &State, text: &str, width: i64) -> Result<usize, Error> {
    let missing = (width.max(0) as usize).saturating_sub(text.chars().count());
    ensure(state, missing.saturating_mul(4))?;
    Ok(missing)
}

fn pad(
    state: &State,
    text: &str,
    args: &[Value],
    sides: impl Fn(usize, usize) -> (usize, usize),
) -> Result<Value, Error> {
    let (width, fill): (i64, Option<String>) = from_args(args)?;
    let fill = fill.unwrap_or_else(|| " ".to_owned());
    if fill.chars().count() != 1 {
        return Err(Error::new(ErrorKind::InvalidOperation, "the fill character must be exactly one character long"));
    }
    let (left, right) = sides(missing(state, text, width)?, width.max(0) as usize);
    Ok(Value::from(fill.repeat(left) + text + &fill.repeat(right)))
}

fn zero_fill(state: &State, text: &str, args: &[Value]) -> Result<Value, Error> {
    let (width,): (i64,) = from_args(args)?;
    let zeros = "0".repeat(missing(state, text, width)?);
    Ok(Value::from(match text.strip_prefix(['+', '-']) {
        Some(digits) => format!("{}{zeros}{digits}", &text[..1]),
        None => zeros + text,
    }))
}

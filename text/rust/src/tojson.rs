//! The `tojson` filter as chat templates know it: the text of Python's `json.dumps(x, ensure_ascii=False, ...)`.

use minijinja::value::{from_args, Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// Deeper values cannot come from JSON and would need deep recursion.
const MAX_DEPTH: usize = 200;

struct Layout {
    ensure_ascii: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
    /// The writer stops here: what is longer could not be paid for by the remaining fuel anyway.
    max_bytes: usize,
}

pub fn tojson(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let layout = layout_of(state, args)?;
    let mut out = String::new();
    write_value(&layout, value, 0, &mut out)?;
    // Walking a value costs more than copying bytes.
    state.consume_fuel(out.len() as u64 / 16)?;
    Ok(Value::from(out))
}

fn layout_of(state: &State, args: &[Value]) -> Result<Layout, Error> {
    let (ensure_ascii, indent, separators, sort_keys, kwargs): (
        Option<Value>,
        Option<Value>,
        Option<Value>,
        Option<Value>,
        Kwargs,
    ) = from_args(args)?;
    let named = |given: Option<Value>, name: &str| match given {
        Some(value) => Ok(value),
        None => kwargs.get::<Option<Value>>(name).map(|value| value.unwrap_or(Value::UNDEFINED)),
    };
    let ensure_ascii = named(ensure_ascii, "ensure_ascii")?.is_true();
    let indent = indent_of(&named(indent, "indent")?)?;
    let separators = named(separators, "separators")?;
    let sort_keys = named(sort_keys, "sort_keys")?.is_true();
    kwargs.assert_all_used()?;
    let (item_separator, key_separator) = separators_of(&separators, indent.is_some())?;
    let max_bytes = state.fuel_levels().map_or(usize::MAX, |(_, rest)| rest.saturating_mul(64) as usize);
    Ok(Layout { ensure_ascii, indent, item_separator, key_separator, sort_keys, max_bytes })
}

fn indent_of(indent: &Value) -> Result<Option<String>, Error> {
    if indent.is_undefined() || indent.is_none() {
        return Ok(None);
    }
    if let Some(text) = indent.as_str() {
        return Ok(Some(text.to_owned()));
    }
    let count = match indent.kind() {
        ValueKind::Bool => i64::from(indent.is_true()),
        _ => i64::try_from(indent.clone())?,
    };
    if count > 64 {
        return Err(invalid(format!("tojson: indent {count} is above the limit of 64")));
    }
    Ok(Some(" ".repeat(count.max(0) as usize)))
}

fn separators_of(separators: &Value, indented: bool) -> Result<(String, String), Error> {
    if separators.is_undefined() || separators.is_none() {
        return Ok(((if indented { "," } else { ", " }).to_owned(), ": ".to_owned()));
    }
    let texts: Vec<Value> = separators.try_iter()?.take(3).collect();
    match texts.as_slice() {
        [item, key] => match (item.as_str(), key.as_str()) {
            (Some(item), Some(key)) => Ok((item.to_owned(), key.to_owned())),
            _ => Err(invalid("tojson: separators must be two strings")),
        },
        _ => Err(invalid("tojson: separators must be two strings")),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn write_value(layout: &Layout, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("tojson: the value is nested deeper than {MAX_DEPTH}")));
    }
    if out.len() > layout.max_bytes {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number_text(value)),
        ValueKind::String => write_text(layout, value.as_str().unwrap_or_default(), out),
        ValueKind::Seq => {
            let items = value.try_iter()?.checked().collect::<Result<Vec<_>, Error>>()?;
            write_items(layout, ['[', ']'], &items, depth, out, |item, out| {
                write_value(layout, item, depth + 1, out)
            })?;
        }
        ValueKind::Map => {
            let mut entries = Vec::new();
            for key in value.try_iter()?.checked() {
                let key = key?;
                entries.push((key_text(&key)?, value.get_item(&key)?));
            }
            if layout.sort_keys {
                entries.sort_by(|a, b| a.0.cmp(&b.0));
            }
            write_items(layout, ['{', '}'], &entries, depth, out, |(key, item), out| {
                write_text(layout, key, out);
                out.push_str(&layout.key_separator);
                write_value(layout, item, depth + 1, out)
            })?;
        }
        kind => return Err(invalid(format!("tojson: a value of type {kind} is not JSON serializable"))),
    }
    Ok(())
}

fn write_items<T>(
    layout: &Layout,
    brackets: [char; 2],
    items: &[T],
    depth: usize,
    out: &mut String,
    mut write: impl FnMut(&T, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    let new_line = |depth: usize, out: &mut String| {
        if let Some(indent) = &layout.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    };
    out.push(brackets[0]);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(&layout.item_separator);
        }
        new_line(depth + 1, out);
        write(item, out)?;
    }
    if !items.is_empty() {
        new_line(depth, out);
    }
    out.push(brackets[1]);
    Ok(())
}

fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::Number => Ok(number_text(key)),
        ValueKind::Bool => Ok((if key.is_true() { "true" } else { "false" }).to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        kind => Err(invalid(format!("tojson: a value of type {kind} cannot be a key"))),
    }
}

fn number_text(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() => (if number > 0.0 { "Infinity" } else { "-Infinity" }).to_owned(),
        Ok(number) => float_text(number),
        Err(_) => value.to_string(),
    }
}

/// Python's repr: the shortest digits that read back, an exponent below 1e-4 and from 1e16 on.
pub fn float_text(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{number:?}")
}

fn write_text(layout: &Layout, text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", character as u32)),
            '\u{7f}'.. if layout.ensure_ascii => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::float_text;

    #[test]
    fn floats_are_written_as_python_does() {
        for (number, text) in [
            (0.0, "0.0"), (-0.0, "-0.0"), (1.0, "1.0"), (0.1, "0.1"), (0.0001, "0.0001"), (0.00001, "1e-05"),
            (1e15, "1000000000000000.0"), (1e16, "1e+16"), (1.5e300, "1.5e+300"), (-2.5e-7, "-2.5e-07"),
        ] {
            assert_eq!(float_text(number), text);
        }
    }
}

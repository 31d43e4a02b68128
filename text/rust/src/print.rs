//! Values as Python prints them: `str()` at the top, `repr()` inside lists and dicts.

use crate::meter::charge_weight;
use crate::tojson::float_text;
use minijinja::value::ValueKind;
use minijinja::{escape_formatter, Error, ErrorKind, Output, State, Value};
use std::fmt::Write;

/// Deeper values cannot come from JSON and would need deep recursion.
const MAX_DEPTH: usize = 200;

pub fn formatter(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Number => write_repr(out, value, 0),
        ValueKind::Seq | ValueKind::Map => {
            charge_weight(state, value)?;
            write_repr(out, value, 0)
        }
        _ => escape_formatter(out, state, value),
    }
}

/// The `string` filter.
pub fn string(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.clone()),
        ValueKind::Number | ValueKind::Seq | ValueKind::Map => {
            let mut text = String::new();
            write_repr(&mut text, value, 0)?;
            Ok(Value::from(text))
        }
        _ => Ok(Value::from(value.to_string())),
    }
}

fn write_repr(out: &mut impl Write, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        let message = format!("cannot print a value that is nested deeper than {MAX_DEPTH}");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    match value.kind() {
        ValueKind::String => write_quoted(out, value.as_str().unwrap_or_default())?,
        ValueKind::Undefined => out.write_str("Undefined")?,
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(number) if number.is_finite() => out.write_str(&float_text(number))?,
            Ok(number) if number.is_nan() => out.write_str("nan")?,
            Ok(number) => out.write_str(if number > 0.0 { "inf" } else { "-inf" })?,
            Err(_) => write!(out, "{value}")?,
        },
        ValueKind::Seq => {
            let (open, close) = if value.is_tuple() { ("(", ")") } else { ("[", "]") };
            out.write_str(open)?;
            for (i, item) in value.try_iter()?.checked().enumerate() {
                out.write_str(if i > 0 { ", " } else { "" })?;
                write_repr(out, &item?, depth + 1)?;
            }
            out.write_str(if value.is_tuple() && value.len() == Some(1) { "," } else { "" })?;
            out.write_str(close)?;
        }
        ValueKind::Map => {
            out.write_str("{")?;
            for (i, key) in value.try_iter()?.checked().enumerate() {
                let key = key?;
                out.write_str(if i > 0 { ", " } else { "" })?;
                write_repr(out, &key, depth + 1)?;
                out.write_str(": ")?;
                write_repr(out, &value.get_item(&key)?, depth + 1)?;
            }
            out.write_str("}")?;
        }
        _ => write!(out, "{value}")?,
    }
    Ok(())
}

fn write_quoted(out: &mut impl Write, text: &str) -> std::fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.write_char(quote)?;
    for character in text.chars() {
        match character {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            _ if character == quote => write!(out, "\\{quote}")?,
            ' '..='~' => out.write_char(character)?,
            _ if is_printable(character) => out.write_char(character)?,
            '\0'..='\u{ff}' => write!(out, "\\x{:02x}", character as u32)?,
            '\u{100}'..='\u{ffff}' => write!(out, "\\u{:04x}", character as u32)?,
            _ => write!(out, "\\U{:08x}", character as u32)?,
        }
    }
    out.write_char(quote)
}

fn is_printable(character: char) -> bool {
    // Behind another character, Rust escapes what Unicode calls not printable and nothing else.
    let pair: String = ['a', character].iter().collect();
    pair.escape_debug().nth(1) == Some(character)
}

//! What a tokenizer.json may ask for: refused before the library builds anything of it.

use crate::ffi::{Failure, Outcome};
use serde::Deserialize;
use serde_json::Value as Json;

/// One step of a normalizer or decoder may make that many bytes of one, at most.
const MAX_STEP_GROWTH: usize = 16;
/// All steps of a normalizer together.
const MAX_GROWTH: usize = 256;
const MAX_STEPS: usize = 64;
/// A word is split in a time that grows with the square of this.
const MAX_WORD_CHARACTERS: u64 = 10_000;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    normalizer: Json,
    #[serde(default)]
    pre_tokenizer: Json,
    #[serde(default)]
    decoder: Json,
    #[serde(default)]
    model: Option<Model>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    max_input_chars_per_word: Json,
}

pub fn check(json: &[u8], what: &str) -> Outcome<()> {
    let refuse = |message: String| Failure::invalid(format!("{what}: {message}"));
    let file: File = serde_json::from_slice(json)
        .map_err(|error| refuse(format!("not a tokenizer.json that can be used: {error}")))?;
    let mut growth = 1usize;
    let normalizer = |error: String| refuse(format!("normalizer: {error}"));
    for step in steps_of(&file.normalizer, "normalizers").map_err(normalizer)? {
        let factor = growth_of(step).map_err(normalizer)?;
        growth = growth.saturating_mul(factor);
        if growth > MAX_GROWTH {
            return Err(refuse(format!(
                "normalizer: its steps together make more than {MAX_GROWTH} bytes of one, the last is {}",
                kind_of(step)
            )));
        }
    }
    for step in steps_of(&file.decoder, "decoders").map_err(|error| refuse(format!("decoder: {error}")))? {
        if let Some(content) = step.get("content").and_then(Json::as_str).filter(|text| text.len() > MAX_STEP_GROWTH) {
            let bytes = content.len();
            return Err(refuse(format!("decoder: {} puts {bytes} bytes, at most {MAX_STEP_GROWTH}", kind_of(step))));
        }
    }
    for step in steps_of(&file.pre_tokenizer, "pretokenizers").map_err(|error| refuse(format!("pre_tokenizer: {error}")))?
    {
        if kind_of(step) == "FixedLength" && step.get("length").and_then(Json::as_u64) == Some(0) {
            return Err(refuse("pre_tokenizer: FixedLength with the length 0".to_owned()));
        }
    }
    match file.model.and_then(|model| model.max_input_chars_per_word.as_u64()) {
        Some(characters) if characters > MAX_WORD_CHARACTERS => Err(refuse(format!(
            "model: max_input_chars_per_word is {characters}, more than the limit of {MAX_WORD_CHARACTERS}"
        ))),
        _ => Ok(()),
    }
}

fn kind_of(step: &Json) -> &str {
    step.get("type").and_then(Json::as_str).unwrap_or("a step without type")
}

/// A step, or the steps of a sequence of sequences.
fn steps_of<'a>(step: &'a Json, members: &str) -> Result<Vec<&'a Json>, String> {
    let mut steps = Vec::new();
    let mut open = vec![step];
    while let Some(step) = open.pop() {
        match step.get(members).and_then(Json::as_array) {
            Some(inner) => open.extend(inner.iter().rev()),
            None => steps.push(step),
        }
        if steps.len() + open.len() > MAX_STEPS {
            return Err(format!("more than the limit of {MAX_STEPS} steps"));
        }
    }
    Ok(steps)
}

/// How many bytes one byte becomes at most.
fn growth_of(step: &Json) -> Result<usize, String> {
    let text = |name: &str| step.get(name).and_then(Json::as_str).unwrap_or_default();
    let growth = match kind_of(step) {
        "Replace" => {
            let pattern = step.get("pattern").and_then(|pattern| pattern.get("String")).and_then(Json::as_str);
            // A regular expression may match nothing, at every place.
            let (least, kept) = pattern.map_or((1, 1), |pattern| (pattern.len().max(1), usize::from(pattern.is_empty())));
            text("content").len().div_ceil(least).max(1) + kept
        }
        "Prepend" => text("prepend").len() + 1,
        "Precompiled" => longest_rule(text("precompiled_charsmap"))?,
        // The longest decomposition of Unicode 16 is U+FDFA: 33 bytes for 3.
        "NFKC" | "NFKD" => 11,
        "NFC" | "NFD" | "Lowercase" | "ByteLevel" | "BertNormalizer" => 3,
        _ => 1,
    };
    if growth > MAX_STEP_GROWTH {
        return Err(format!("{} makes {growth} bytes of one, at most {MAX_STEP_GROWTH}", kind_of(step)));
    }
    Ok(growth)
}

/// SentencePiece's table: the size of a trie in bytes, the trie, and the texts, each ended by a NUL, that its entries
/// point to. The library believes the size.
fn longest_rule(table: &str) -> Result<usize, String> {
    let bytes = base64::decode(table).map_err(|error| format!("precompiled_charsmap: not base64: {error}"))?;
    let Some(size) = bytes.first_chunk::<4>().map(|size| u32::from_le_bytes(*size) as usize) else {
        return Err("precompiled_charsmap: no table".to_owned());
    };
    let room = bytes.len() - 4;
    if size % 4 != 0 || size == 0 || size > room {
        return Err(format!("precompiled_charsmap: declares a trie of {size} bytes, {room} bytes follow"));
    }
    Ok(bytes[4 + size..].split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(1).max(1))
}

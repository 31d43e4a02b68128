//! Token by token decoding whose pieces, joined, are `Tokenizer::decode` of all tokens so far, less the text of the
//! prompt before them.
//!
//! The decoder of tokenizer.json is a chain. Each link becomes a stage that passes on what no later token can
//! change and keeps the rest, so a token costs the same whatever came before it. Links that look at the whole
//! text (CTC and a few odd orders that no known model has) make the stream give all its text at the end.
//!
//! One thing is said otherwise than by the whole: a bad byte in a run of byte tokens makes replacement characters of
//! the run there, and here of what is no character in it. Else a run could not be shown before its end.

use crate::ffi::{Failure, Outcome};
use std::sync::Arc;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::{Decoder, Tokenizer};

pub struct DecodeStream {
    tokenizer: Arc<Tokenizer>,
    skip_special: bool,
    chain: Chain,
}

enum Chain {
    Stages(Vec<Stage>),
    /// The ids so far, decoded at the end; the first of them are the prompt's.
    Whole { ids: Vec<u32>, prompt: usize },
}

/// What a stage knows of a prompt it knows of its last tokens: whether there was text, and an unfinished character.
const PROMPT_TOKENS: usize = 32;

enum Stage {
    /// A link that maps each token by itself.
    Each(DecoderWrapper),
    /// A link that treats the first token apart from all others.
    First { link: DecoderWrapper, seen: bool },
    /// A link that treats the last token apart: one token is held, of whose text as the last one so many bytes are the
    /// prompt's.
    Last { link: DecoderWrapper, held: Option<String>, shown: usize },
    /// A run of `<0xNN>` tokens is text where it is UTF-8, else one replacement character per byte.
    ByteFallback { pending: Vec<u8> },
    /// Characters that stand for bytes; at most three bytes of an unfinished character are held.
    ByteLevel { pending: Vec<u8> },
    /// Cuts up to `start` leading and `stop` trailing `content` characters of the whole text.
    Strip { content: char, start: usize, stop: usize, held: usize },
    /// No decoder: tokens joined by spaces.
    Join { seen: bool },
}

impl DecodeStream {
    pub fn new(tokenizer: Arc<Tokenizer>, skip_special: bool) -> DecodeStream {
        let chain = match tokenizer.get_decoder() {
            None => Chain::Stages(vec![Stage::Join { seen: false }]),
            Some(decoder) => match stages_of(decoder) {
                Some(stages) => Chain::Stages(stages),
                None => Chain::Whole { ids: Vec::new(), prompt: 0 },
            },
        };
        DecodeStream { tokenizer, skip_special, chain }
    }

    /// The token, unless it adds nothing: an id without one, or a special one that is not shown.
    fn token(&self, id: u32) -> Option<String> {
        let token = self.tokenizer.id_to_token(id)?;
        let hidden = self.skip_special && self.tokenizer.get_added_vocabulary().is_special_token(&token);
        (!hidden).then_some(token)
    }

    /// What follows continues the text of these ids. Before the first `append`.
    pub fn begin_after(&mut self, prompt: &[u32]) -> Outcome<()> {
        let mut last: Vec<u32> = Vec::with_capacity(PROMPT_TOKENS);
        last.extend(prompt.iter().rev().filter(|id| self.token(**id).is_some()).take(PROMPT_TOKENS));
        for id in last.into_iter().rev() {
            self.append(id)?;
        }
        match &mut self.chain {
            Chain::Whole { ids, prompt } => *prompt = ids.len(),
            Chain::Stages(stages) => stages.iter_mut().try_for_each(Stage::end_prompt)?,
        }
        Ok(())
    }

    /// The text that this token makes final; an id without a token adds nothing, as in `decode`.
    pub fn append(&mut self, id: u32) -> Outcome<String> {
        let Some(token) = self.token(id) else { return Ok(String::new()) };
        match &mut self.chain {
            Chain::Whole { ids, .. } => {
                ids.push(id);
                Ok(String::new())
            }
            Chain::Stages(stages) => run_stages(stages, vec![token]),
        }
    }

    /// The rest of the text. Nothing may be appended after it.
    pub fn finish(&mut self) -> Outcome<String> {
        match &mut self.chain {
            Chain::Whole { ids, prompt } => {
                let decode = |ids: &[u32]| match ids {
                    [] => Ok(String::new()), // some decoders fail on no tokens
                    ids => self.tokenizer.decode(ids, self.skip_special).map_err(failure),
                };
                let (before, all) = (decode(&ids[..*prompt])?, decode(ids)?);
                match all.strip_prefix(&before) {
                    Some(answer) => Ok(answer.to_owned()),
                    None => decode(&ids[*prompt..]),
                }
            }
            Chain::Stages(stages) => {
                let mut text = String::new();
                for i in 0..stages.len() {
                    let mut rest = Vec::new();
                    stages[i].finish(&mut rest)?;
                    text.push_str(&run_stages(&mut stages[i + 1..], rest)?);
                }
                Ok(text)
            }
        }
    }
}

fn failure(error: tokenizers::Error) -> Failure {
    Failure::invalid(format!("cannot decode: {error}"))
}

fn run_stages(stages: &mut [Stage], mut tokens: Vec<String>) -> Outcome<String> {
    for stage in stages {
        let mut next = Vec::with_capacity(tokens.len());
        for token in tokens {
            stage.push(token, &mut next)?;
        }
        tokens = next;
    }
    Ok(tokens.concat())
}

/// None where a link of the chain needs the whole text.
fn stages_of(decoder: &DecoderWrapper) -> Option<Vec<Stage>> {
    let mut stages = Vec::new();
    let mut fused = false;
    for link in flatten(decoder) {
        stages.extend(stage_of(link, &mut fused)?);
    }
    Some(stages)
}

fn flatten(decoder: &DecoderWrapper) -> Vec<&DecoderWrapper> {
    match decoder {
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().flat_map(flatten).collect(),
        link => vec![link],
    }
}

/// `fused`: the links before this one leave one single token, which arrives here in parts.
fn stage_of(link: &DecoderWrapper, fused: &mut bool) -> Option<Option<Stage>> {
    let stage = match (link, *fused) {
        (DecoderWrapper::Fuse(_), _) => {
            *fused = true;
            return Some(None);
        }
        (DecoderWrapper::ByteLevel(_), false) => {
            *fused = true;
            Stage::ByteLevel { pending: Vec::new() }
        }
        (DecoderWrapper::ByteFallback(_), false) => Stage::ByteFallback { pending: Vec::new() },
        (DecoderWrapper::Metaspace(_) | DecoderWrapper::WordPiece(_), false) => {
            Stage::First { link: link.clone(), seen: false }
        }
        (DecoderWrapper::BPE(_), false) => Stage::Last { link: link.clone(), held: None, shown: 0 },
        (DecoderWrapper::Replace(_) | DecoderWrapper::Strip(_), false) => Stage::Each(link.clone()),
        (DecoderWrapper::Strip(strip), true) => {
            Stage::Strip { content: strip.content, start: strip.start, stop: strip.stop, held: 0 }
        }
        // Within one token a Metaspace link maps character by character.
        (DecoderWrapper::Metaspace(_), true) => Stage::Each(link.clone()),
        (DecoderWrapper::Replace(_), true) if replaces_one_character(link) => Stage::Each(link.clone()),
        _ => return None,
    };
    Some(Some(stage))
}

fn replaces_one_character(link: &DecoderWrapper) -> bool {
    serde_json::to_value(link)
        .ok()
        .and_then(|value| Some(value.get("pattern")?.get("String")?.as_str()?.chars().count() == 1))
        .unwrap_or(false)
}

impl Stage {
    fn push(&mut self, token: String, out: &mut Vec<String>) -> Outcome<()> {
        match self {
            Stage::Each(link) => out.extend(link.decode_chain(vec![token]).map_err(failure)?),
            Stage::First { link, seen } => {
                let tokens = if *seen { vec![String::new(), token] } else { vec![token] };
                out.extend(link.decode_chain(tokens).map_err(failure)?.pop());
                *seen = true;
            }
            Stage::Last { link, held, shown } => {
                if let Some(previous) = held.replace(token) {
                    let mut tokens = link.decode_chain(vec![previous, String::new()]).map_err(failure)?;
                    let text = tokens.swap_remove(0);
                    out.push(text.get(std::mem::take(shown)..).unwrap_or_default().to_owned());
                }
            }
            Stage::ByteFallback { pending } => match byte_of(&token) {
                // No empty tokens: the next link may count them.
                Some(byte) => {
                    pending.push(byte);
                    out.extend(Some(take_characters(pending, Bad::EachByte)).filter(|text| !text.is_empty()));
                }
                None => {
                    out.extend(end_of_bytes(pending));
                    out.push(token);
                }
            },
            Stage::ByteLevel { pending } => {
                append_bytes(&token, pending);
                out.push(take_characters(pending, Bad::Sequence));
            }
            Stage::Strip { content, start, stop, held } => out.push(strip_part(&token, *content, start, *stop, held)),
            Stage::Join { seen } => {
                out.push(if *seen { format!(" {token}") } else { token });
                *seen = true;
            }
        }
        Ok(())
    }

    /// What the prompt shows of a token that is held does not belong to the answer.
    fn end_prompt(&mut self) -> Outcome<()> {
        if let Stage::Last { link, held: Some(token), shown } = self {
            *shown = link.decode_chain(vec![token.clone()]).map_err(failure)?.concat().len();
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<String>) -> Outcome<()> {
        match self {
            Stage::Last { link, held, shown } => {
                if let Some(token) = held.take() {
                    let text = link.decode_chain(vec![token]).map_err(failure)?.concat();
                    out.push(text.get(std::mem::take(shown)..).unwrap_or_default().to_owned());
                }
            }
            Stage::ByteFallback { pending } => out.extend(end_of_bytes(pending)),
            Stage::ByteLevel { pending } => {
                out.push(String::from_utf8_lossy(pending).into_owned());
                pending.clear();
            }
            Stage::Each(_) | Stage::First { .. } | Stage::Strip { .. } | Stage::Join { .. } => {}
        }
        Ok(())
    }
}

fn byte_of(token: &str) -> Option<u8> {
    if token.len() != 6 || !token.starts_with("<0x") || !token.ends_with('>') {
        return None;
    }
    // `get`: a foreign six-byte token may have a character across this range.
    u8::from_str_radix(token.get(3..5)?, 16).ok()
}

/// What the bytes of a run become that no later byte made a character of.
fn end_of_bytes(pending: &mut Vec<u8>) -> Option<String> {
    let size = std::mem::take(pending).len();
    (size > 0).then(|| char::REPLACEMENT_CHARACTER.to_string().repeat(size))
}

/// The byte-level alphabet: printable Latin-1 stands for itself, the other 68 bytes for U+0100 and on, in order.
fn byte_of_character(character: char) -> Option<u8> {
    let code = character as u32;
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code as u8),
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// A token with any character outside the alphabet (an added token) stands for its own UTF-8.
fn append_bytes(token: &str, bytes: &mut Vec<u8>) {
    match token.chars().map(byte_of_character).collect::<Option<Vec<u8>>>() {
        Some(mapped) => bytes.extend(mapped),
        None => bytes.extend(token.as_bytes()),
    }
}

/// What one replacement character stands for.
#[derive(Clone, Copy, PartialEq)]
enum Bad {
    EachByte,
    Sequence,
}

/// Takes everything but an unfinished last character; broken sequences become replacement characters.
fn take_characters(pending: &mut Vec<u8>, bad: Bad) -> String {
    let mut text = String::new();
    let mut begin = 0;
    loop {
        match std::str::from_utf8(&pending[begin..]) {
            Ok(rest) => {
                text.push_str(rest);
                pending.clear();
                return text;
            }
            Err(error) => {
                let end = begin + error.valid_up_to();
                text.push_str(&String::from_utf8_lossy(&pending[begin..end]));
                match error.error_len() {
                    Some(length) => {
                        let count = if bad == Bad::EachByte { length } else { 1 };
                        text.extend(std::iter::repeat_n(char::REPLACEMENT_CHARACTER, count));
                        begin = end + length;
                    }
                    None => {
                        pending.drain(..end);
                        return text;
                    }
                }
            }
        }
    }
}

/// `start`: leading characters that may still be cut. `held`: trailing ones that are kept back (at most `stop`).
fn strip_part(part: &str, content: char, start: &mut usize, stop: usize, held: &mut usize) -> String {
    let mut text = String::with_capacity(part.len());
    for character in part.chars() {
        if character == content && *start > 0 {
            *start -= 1;
            continue;
        }
        *start = 0;
        if character == content && stop > 0 {
            if *held == stop {
                text.push(content);
            } else {
                *held += 1;
            }
            continue;
        }
        text.extend(std::iter::repeat_n(content, std::mem::take(held)));
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_alphabet_is_a_bijection() {
        let mut bytes: Vec<u8> = (0..0x200).filter_map(char::from_u32).filter_map(byte_of_character).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(byte_of_character('Ġ'), Some(b' '));
        assert_eq!(byte_of_character('Ċ'), Some(b'\n'));
    }
}

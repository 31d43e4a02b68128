//! Where a text may be cut so that the ids of its pieces, one behind the other, are those of the whole.
//!
//! The only cut is between an ASCII letter and a space with an ASCII letter behind it ("abc| def"), and it is made for
//! tokenizers alone of which all of this holds:
//! - The normalizer is none, or NFC, NFD, NFKC or NFKD: these leave ASCII as it is, and neither a letter before a space
//!   nor a space before a letter composes with anything on the other side of the cut.
//! - No added token has a letter and a space side by side, so none lies across the cut; none that takes the white
//!   space behind it ends in a letter; none that must stand alone begins with a space.
//! - The pre-tokenizer is made of ByteLevel, Digits, and Split (isolated, not inverted) by a pattern that is an
//!   alternation of known branches. No known branch matches a letter and the space behind it, none looks behind, and
//!   none looks further ahead than white space at whose end a letter is (`\s+(?!\S)` within the left piece). One
//!   branch matches every run of letters: so a match ends at each cut, and the next begins there, in the whole text as
//!   in its pieces. What follows, the model, sees each of these matches by itself.
//! - A post-processor adds ids in front and behind, the same whatever the text (`encode.rs`).
//!
//! Every other tokenizer, SentencePiece's without a pre-tokenizer for instance, encodes its text whole.

use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

/// Branches that match a run of letters, whatever precedes it.
const LETTERS: &[&str] = &[
    r" ?\p{L}+",
    r"[^\r\n\p{L}\p{N}]?\p{L}+",
    r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
];
/// Branches that match no letter with a space behind it.
const OTHERS: &[&str] = &[
    r"'s", r"'t", r"'re", r"'ve", r"'m", r"'ll", r"'d",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}", r"\p{N}+", r"\p{N}{1,3}", r" ?\p{N}+",
    r" ?[^\s\p{L}\p{N}]+", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r" ?[\p{P}\p{S}]+[\r\n]*",
    r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
];

/// Whether texts of this tokenizer may be cut.
pub fn may_cut(tokenizer: &Tokenizer) -> bool {
    let mut letters = false;
    tokenizer.get_normalizer().is_none_or(keeps_ascii)
        && tokenizer.get_pre_tokenizer().is_some_and(|step| splits_locally(step, &mut letters))
        && letters
        && added_tokens_allow(tokenizer)
}

/// The length of the first piece: at least `least` bytes where the text has them, and up to the next cut.
pub fn first_piece(text: &str, least: usize) -> usize {
    let bytes = text.as_bytes();
    let window = bytes.windows(3).enumerate().skip(least.saturating_sub(1));
    let cut = window.map(|(at, three)| (at + 1, three)).find(|(_, three)| {
        three[0].is_ascii_alphabetic() && three[1] == b' ' && three[2].is_ascii_alphabetic()
    });
    cut.map_or(bytes.len(), |(at, _)| at)
}

fn keeps_ascii(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::NFC(_) | NormalizerWrapper::NFD(_) => true,
        NormalizerWrapper::NFKC(_) | NormalizerWrapper::NFKD(_) => true,
        NormalizerWrapper::Sequence(steps) => steps.as_ref().iter().all(keeps_ascii),
        _ => false,
    }
}

/// `letters` becomes true where a step matches every run of letters.
fn splits_locally(step: &PreTokenizerWrapper, letters: &mut bool) -> bool {
    match step {
        PreTokenizerWrapper::Sequence(steps) => steps.as_ref().iter().all(|step| splits_locally(step, letters)),
        PreTokenizerWrapper::Digits(_) => true,
        PreTokenizerWrapper::ByteLevel(step) => {
            *letters |= step.use_regex;
            true
        }
        PreTokenizerWrapper::Split(split) => match &split.pattern {
            SplitPattern::Regex(pattern) if split.behavior == SplitDelimiterBehavior::Isolated && !split.invert => {
                let branches = branches_of(pattern);
                *letters |= branches.iter().any(|branch| LETTERS.contains(branch));
                branches.iter().all(|branch| LETTERS.contains(branch) || OTHERS.contains(branch))
            }
            _ => false,
        },
        _ => false,
    }
}

/// The alternatives of a pattern, without looking into groups and classes. Line ends written as such count as escaped.
fn branches_of(pattern: &str) -> Vec<&'static str> {
    let plain = pattern.replace('\r', r"\r").replace('\n', r"\n");
    let mut branches = Vec::new();
    let (mut depth, mut class, mut escaped, mut begin) = (0usize, false, false, 0);
    for (at, character) in plain.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            _ if class => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => {
                branches.push(known(&plain[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
    }
    branches.push(known(&plain[begin..]));
    branches
}

/// The known branch that reads so; "" where there is none.
fn known(branch: &str) -> &'static str {
    LETTERS.iter().chain(OTHERS).find(|known| **known == branch).copied().unwrap_or("")
}

fn added_tokens_allow(tokenizer: &Tokenizer) -> bool {
    let added = tokenizer.get_added_vocabulary();
    added.get_added_tokens_decoder().iter().all(|(id, token)| {
        let normalized = added.simple_id_to_token(*id).unwrap_or_default();
        [token.content.as_str(), normalized.as_str()].iter().all(|text| {
            let across = text.as_bytes().windows(2).any(|pair| pair[0].is_ascii_alphabetic() && pair[1] == b' ');
            let takes_space = token.rstrip && text.bytes().last().is_some_and(|last| last.is_ascii_alphabetic());
            let alone = token.single_word && text.starts_with(' ');
            !across && !takes_space && !alone
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_between_a_letter_and_a_word() {
        assert_eq!(first_piece("ab cd ef", 0), 2);
        assert_eq!(first_piece("ab cd ef", 2), 2);
        assert_eq!(first_piece("ab cd ef", 3), 5);
        assert_eq!(first_piece("ab  cd, ef 1 g", 0), 14);
        assert_eq!(first_piece("é b", 0), "é b".len());
        assert_eq!(first_piece("", 10), 0);
    }

    #[test]
    fn patterns_are_taken_apart_outside_of_groups_and_classes() {
        assert_eq!(branches_of(r"\p{N}{1,3}|\s+(?!\S)|\s+"), [r"\p{N}{1,3}", r"\s+(?!\S)", r"\s+"]);
        assert_eq!(branches_of(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\s+").len(), 2);
        assert_eq!(branches_of("[^\r\n\\p{L}\\p{N}]?\\p{L}+"), [r"[^\r\n\p{L}\p{N}]?\p{L}+"]);
        assert_eq!(branches_of(r"\w+|(?<=a) b"), ["", ""]);
    }
}

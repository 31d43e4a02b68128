//! Text to ids, in steps that see whether anybody still waits for them, and with bounds on what is made on the way.

use crate::ffi::{Code, Failure, Outcome, WorkLimit};
use crate::pieces::{first_piece, may_cut};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokenizers::{
    Encoding, Model, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType,
    PostProcessor, PreTokenizer, PreTokenizerWrapper, Token, Tokenizer,
};

/// A piece of that size takes about 10 ms.
const PIECE_BYTES: usize = 32 << 10;
/// Normalizing may make more of a text than that many times its size, and this on top: no text that anybody means does.
const GROWTH: usize = 4;
const SLACK_BYTES: usize = 64 << 10;
/// Unicode composes at most 4 code points into one, of at most 4 bytes each, and none into nothing.
const COMPOSED_BYTES: usize = 16;

pub struct Bounds {
    pub max_ids: usize,
    pub limit: WorkLimit,
}

/// What a post-processor puts around the ids of any text.
#[derive(Default)]
pub struct Frame {
    pub before: Vec<i32>,
    pub behind: Vec<i32>,
}

pub struct Encoder {
    tokenizer: Arc<Tokenizer>,
    in_pieces: bool,
    piece_bytes: usize,
    /// Without and with special tokens; None: the post-processor does something else.
    frames: [Option<Frame>; 2],
    /// The bytes of text that one id stands for at most; None: text may vanish.
    most_bytes: Option<usize>,
}

impl Encoder {
    pub fn new(tokenizer: Arc<Tokenizer>, vocabulary: &HashMap<String, u32>) -> Encoder {
        let frames = [false, true].map(|add_special| frame_of(&tokenizer, add_special));
        let in_pieces = frames.iter().all(Option::is_some) && may_cut(&tokenizer);
        let most_bytes = keeps_text(&tokenizer, vocabulary).then(|| vocabulary.keys().map(String::len).max()).flatten();
        Encoder { tokenizer, in_pieces, piece_bytes: PIECE_BYTES, frames, most_bytes }
    }

    pub fn in_pieces(&self) -> bool {
        self.in_pieces
    }

    pub fn least_ids(&self, text: &[u8]) -> usize {
        let Some(most) = self.most_bytes else { return 0 };
        let ascii = text.iter().filter(|byte| byte.is_ascii()).count();
        let others = (text.len() - ascii) / if self.tokenizer.get_normalizer().is_some() { COMPOSED_BYTES } else { 1 };
        (ascii + others).div_ceil(most.max(1))
    }

    pub fn encode(&self, text: &str, add_special: bool, bounds: &Bounds) -> Outcome<Vec<i32>> {
        bounds.limit.check()?;
        let Some(frame) = &self.frames[usize::from(add_special)] else {
            let encoding = self.tokenizer.encode_fast(text, add_special).map_err(failure)?;
            // MAX_ID keeps every id within i32.
            return checked(encoding.get_ids().iter().map(|id| *id as i32).collect(), bounds);
        };
        let mut ids = frame.before.clone();
        let mut rest = text;
        while !rest.is_empty() {
            let size = if self.in_pieces { first_piece(rest, self.piece_bytes) } else { rest.len() };
            let (piece, later) = rest.split_at(size);
            self.encode_piece(piece, bounds, &mut ids)?;
            ids = checked(ids, bounds)?;
            rest = later;
        }
        ids.extend(&frame.behind);
        checked(ids, bounds)
    }

    /// The steps of the library's own `encode_fast`, with a look at the limit between them.
    fn encode_piece(&self, piece: &str, bounds: &Bounds, ids: &mut Vec<i32>) -> Outcome<()> {
        bounds.limit.check()?;
        let normalizer = self.tokenizer.get_normalizer().map(|inner| BoundedNormalizer::new(inner, piece.len(), bounds));
        let mut splits = self.tokenizer.get_added_vocabulary().extract_and_normalize(normalizer.as_ref(), piece);
        if let Some(failure) = normalizer.and_then(BoundedNormalizer::into_failure) {
            return Err(failure);
        }
        if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
            pre_tokenize(pre_tokenizer, &mut splits, bounds)?;
        }
        let ended = Mutex::new(None);
        let made = AtomicUsize::new(ids.len());
        let since = AtomicUsize::new(0);
        let model = self.tokenizer.get_model();
        let result = splits.tokenize(|split| {
            if since.fetch_add(split.get().len() + 16, Ordering::Relaxed) > PIECE_BYTES {
                since.store(0, Ordering::Relaxed);
                stop_unless(bounds.limit.check(), &ended)?;
            }
            let tokens: Vec<Token> = model.tokenize(split.get())?;
            if made.fetch_add(tokens.len(), Ordering::Relaxed) > bounds.max_ids {
                stop_unless(Err(too_many(bounds)), &ended)?;
            }
            Ok(tokens)
        });
        if let Some(failure) = ended.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            return Err(failure);
        }
        result.map_err(failure)?;
        for (_, _, tokens) in splits.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            // MAX_ID keeps every id within i32.
            ids.extend(tokens.iter().flatten().map(|token| token.id as i32));
        }
        Ok(())
    }
}

/// Keeps the failure beside the error that carries it through the library.
fn stop_unless(outcome: Outcome<()>, ended: &Mutex<Option<Failure>>) -> tokenizers::Result<()> {
    outcome.map_err(|failure| {
        let text = failure.message.clone();
        if let Ok(mut ended) = ended.lock() {
            ended.get_or_insert(failure);
        }
        text.into()
    })
}

/// Step by step, so that the limit is seen between them.
fn pre_tokenize(
    step: &PreTokenizerWrapper,
    splits: &mut tokenizers::PreTokenizedString,
    bounds: &Bounds,
) -> Outcome<()> {
    if let PreTokenizerWrapper::Sequence(steps) = step {
        return steps.as_ref().iter().try_for_each(|step| pre_tokenize(step, splits, bounds));
    }
    bounds.limit.check()?;
    step.pre_tokenize(splits).map_err(failure)
}

fn failure(error: tokenizers::Error) -> Failure {
    Failure::invalid(format!("cannot encode the text: {error}"))
}

fn too_many(bounds: &Bounds) -> Failure {
    Failure::new(Code::OutOfRange, format!("more than {} tokens", bounds.max_ids))
}

fn checked(ids: Vec<i32>, bounds: &Bounds) -> Outcome<Vec<i32>> {
    if ids.len() > bounds.max_ids {
        return Err(too_many(bounds));
    }
    Ok(ids)
}

/// The tokenizer's own normalizer, whose result may not grow out of all proportion. The library drops the errors of
/// normalizers: ours is kept here.
struct BoundedNormalizer<'a> {
    inner: &'a NormalizerWrapper,
    bounds: &'a Bounds,
    most: usize,
    made: AtomicUsize,
    failure: Mutex<Option<Failure>>,
}

impl<'a> BoundedNormalizer<'a> {
    fn new(inner: &'a NormalizerWrapper, text_bytes: usize, bounds: &'a Bounds) -> BoundedNormalizer<'a> {
        let most = text_bytes.saturating_mul(GROWTH).saturating_add(SLACK_BYTES);
        BoundedNormalizer { inner, bounds, most, made: AtomicUsize::new(0), failure: Mutex::new(None) }
    }

    fn into_failure(self) -> Option<Failure> {
        self.failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn run(&self, step: &NormalizerWrapper, text: &mut NormalizedString) -> tokenizers::Result<()> {
        if let NormalizerWrapper::Sequence(steps) = step {
            return steps.as_ref().iter().try_for_each(|step| self.run(step, text));
        }
        stop_unless(self.bounds.limit.check(), &self.failure)?;
        step.normalize(text)?;
        if self.made.load(Ordering::Relaxed).saturating_add(text.len()) > self.most {
            let what = format!("normalizing makes more than {} bytes of the text, {GROWTH} times its size", self.most);
            stop_unless(Err(Failure::invalid(what)), &self.failure)?;
        }
        Ok(())
    }
}

impl Normalizer for BoundedNormalizer<'_> {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        if self.failure.lock().is_ok_and(|failure| failure.is_some()) {
            return Ok(());
        }
        let result = self.run(self.inner, text);
        self.made.fetch_add(text.len(), Ordering::Relaxed);
        result
    }
}

/// What the post-processor does is found by giving it one id that no vocabulary has.
pub fn frame_of(tokenizer: &Tokenizer, add_special: bool) -> Option<Frame> {
    let Some(processor) = tokenizer.get_post_processor() else { return Some(Frame::default()) };
    let mark = Encoding::from_tokens(vec![Token::new(u32::MAX, String::new(), (0, 0))], 0);
    let ids = processor.process(mark, None, add_special).ok()?.get_ids().to_vec();
    let at = ids.iter().position(|id| *id == u32::MAX)?;
    let (before, behind) = (&ids[..at], &ids[at + 1..]);
    let small = |ids: &[u32]| ids.iter().map(|id| i32::try_from(*id).ok()).collect::<Option<Vec<i32>>>();
    Some(Frame { before: small(before)?, behind: small(behind)? })
}

/// Whether every byte of a text ends in some token, so that the longest token bounds what one id stands for.
fn keeps_text(tokenizer: &Tokenizer, vocabulary: &HashMap<String, u32>) -> bool {
    let added = tokenizer.get_added_vocabulary().get_added_tokens_decoder();
    let strips = added.values().any(|token| token.lstrip || token.rstrip);
    let bytes = |token: fn(u8) -> String| (0..=255).all(|byte| vocabulary.contains_key(&token(byte)));
    let all_bytes = match tokenizer.get_model() {
        ModelWrapper::BPE(bpe) if bpe.continuing_subword_prefix.iter().any(|prefix| !prefix.is_empty()) => false,
        ModelWrapper::BPE(bpe) if bpe.end_of_word_suffix.iter().any(|suffix| !suffix.is_empty()) => false,
        ModelWrapper::BPE(bpe) if bpe.byte_fallback => bytes(|byte| format!("<0x{byte:02X}>")),
        ModelWrapper::BPE(_) if in_bytes(tokenizer.get_pre_tokenizer()) => {
            tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet()
                .into_iter()
                .all(|character| vocabulary.contains_key(&character.to_string()))
        }
        _ => false,
    };
    all_bytes
        && !strips
        && tokenizer.get_normalizer().is_none_or(normalizer_keeps_text)
        && tokenizer.get_pre_tokenizer().is_none_or(splits_keep_text)
}

fn in_bytes(step: Option<&PreTokenizerWrapper>) -> bool {
    match step {
        Some(PreTokenizerWrapper::ByteLevel(_)) => true,
        Some(PreTokenizerWrapper::Sequence(steps)) => steps.as_ref().iter().any(|step| in_bytes(Some(step))),
        _ => false,
    }
}

fn normalizer_keeps_text(step: &NormalizerWrapper) -> bool {
    match step {
        NormalizerWrapper::NFC(_) | NormalizerWrapper::NFD(_) => true,
        NormalizerWrapper::NFKC(_) | NormalizerWrapper::NFKD(_) | NormalizerWrapper::Prepend(_) => true,
        NormalizerWrapper::Sequence(steps) => steps.as_ref().iter().all(normalizer_keeps_text),
        // Its pattern is a string of one character, or it may take away as much as it likes.
        NormalizerWrapper::Replace(replace) => !replace.content.is_empty() && replaces_one_character(step),
        _ => false,
    }
}

fn replaces_one_character(step: &NormalizerWrapper) -> bool {
    serde_json::to_value(step)
        .ok()
        .and_then(|value| Some(value.get("pattern")?.get("String")?.as_str()?.len() == 1))
        .unwrap_or(false)
}

fn splits_keep_text(step: &PreTokenizerWrapper) -> bool {
    match step {
        PreTokenizerWrapper::ByteLevel(_) | PreTokenizerWrapper::Metaspace(_) | PreTokenizerWrapper::Digits(_) => true,
        PreTokenizerWrapper::Split(split) => split.behavior != tokenizers::SplitDelimiterBehavior::Removed,
        PreTokenizerWrapper::Sequence(steps) => steps.as_ref().iter().all(splits_keep_text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// The tokenizers of the tests that are cut, and those of real models where scripts/fetch_tokenizers put them.
    fn encoders() -> Vec<(String, Encoder)> {
        let mut paths = vec![root().join("tests/text/data/tokenizers/byte_level.json"), root().join("demo/model/tokenizer.json")];
        for name in ["qwen3", "llama3", "deepseek_v3"] {
            paths.push(root().join("build/tokenizers").join(name).join("tokenizer.json"));
        }
        let present = paths.into_iter().filter(|path| path.exists());
        let load = |path: PathBuf| {
            let tokenizer = Tokenizer::from_file(&path).unwrap();
            let vocabulary = tokenizer.get_vocab(true);
            (path.display().to_string(), Encoder::new(Arc::new(tokenizer), &vocabulary))
        };
        present.map(load).collect()
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) as usize % end
        }
    }

    const PARTS: &[&str] = &[
        "a", "Be", "cat", "I", "'s", "'LL", "'", " ", " ", " ", " ", "  ", "\n", "\r\n", "\t", " \n ", "7", "2026", "12 345",
        ".", "?!", "...", "(", ")", "<", "<|im_end|>", "<think>", "</s>", "<|begin|>", "\u{301}", "e\u{301}", "\u{e9}", "\u{a0}",
        "\u{4eca}\u{5929}", "\u{ac00}\u{11a8}", "\u{1f642}", "\u{3000}", "\u{200b}", "if (x == y)", "word word", "x y", "A b",
    ];

    const FREE: Bounds = Bounds { max_ids: usize::MAX, limit: WorkLimit::NONE };

    #[test]
    fn pieces_give_the_ids_of_the_whole() {
        for (name, mut encoder) in encoders() {
            assert!(encoder.in_pieces(), "{name}");
            let mut random = Random(7);
            let mut cuts = 0;
            for round in 0..400 {
                let text: String = (0..1 + random.below(120)).map(|_| PARTS[random.below(PARTS.len())]).collect();
                let whole = encoder.tokenizer.encode_fast(text.as_str(), round % 2 == 0).unwrap();
                let whole: Vec<i32> = whole.get_ids().iter().map(|id| *id as i32).collect();
                encoder.piece_bytes = 1 + random.below(40);
                cuts += usize::from(first_piece(&text, encoder.piece_bytes) < text.len());
                assert_eq!(encoder.encode(&text, round % 2 == 0, &FREE).unwrap(), whole, "{name}: {text:?}");
            }
            assert!(cuts > 200, "{name}: {cuts}");
        }
    }

    #[test]
    fn no_text_gives_fewer_ids_than_its_size_says() {
        for (name, encoder) in encoders() {
            let mut random = Random(11);
            assert!(encoder.most_bytes.is_some(), "{name}");
            for part in PARTS.iter().chain(&["aaaaaaaa", "        ", "\n\n\n\n"]) {
                let text = part.repeat(1 + random.below(300));
                let ids = encoder.encode(&text, false, &FREE).unwrap().len();
                assert!(encoder.least_ids(text.as_bytes()) <= ids, "{name}: {part:?}");
            }
        }
    }

    #[test]
    fn other_tokenizers_take_their_text_whole() {
        for name in ["llama.json", "metaspace.json"] {
            let path = root().join("tests/text/data/tokenizers").join(name);
            let tokenizer = Tokenizer::from_file(path).unwrap();
            let vocabulary = tokenizer.get_vocab(true);
            let encoder = Encoder::new(Arc::new(tokenizer), &vocabulary);
            assert!(!encoder.in_pieces(), "{name}");
            for text in ["", "a b", "Hello <s> world </s>", "\u{1f642}\u{1f642}"] {
                let whole = encoder.tokenizer.encode_fast(text, true).unwrap();
                let whole: Vec<i32> = whole.get_ids().iter().map(|id| *id as i32).collect();
                assert_eq!(encoder.encode(text, true, &FREE).unwrap(), whole, "{name}: {text:?}");
            }
        }
    }
}

//! What transformers' class of a tokenizer brings along beside the files.

use crate::files::Object;
use serde_json::Value as Json;

/// Who decides over the tokens at the beginning and the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// tokenizer.json alone: add_bos_token and add_eos_token have no effect.
    File,
    /// add_bos_token and add_eos_token where one of them is there; the other is this then. `always`: also where there is
    /// neither.
    Flags { add_bos: bool, add_eos: bool, always: bool },
}

pub struct TokenizerClass {
    /// Empty: neither file names one.
    pub name: String,
    pub frame: Frame,
    defaults: &'static [(&'static str, &'static str)],
}

const SENTENCEPIECE: &[(&str, &str)] = &[("unk_token", "<unk>"), ("bos_token", "<s>"), ("eos_token", "</s>")];
const GEMMA: &[(&str, &str)] =
    &[("unk_token", "<unk>"), ("bos_token", "<bos>"), ("eos_token", "<eos>"), ("pad_token", "<pad>")];
const COHERE: &[(&str, &str)] =
    &[("unk_token", "<UNK>"), ("bos_token", "<BOS_TOKEN>"), ("eos_token", "<|END_OF_TURN_TOKEN|>")];
const GPT: &[(&str, &str)] =
    &[("unk_token", "<|endoftext|>"), ("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>")];
const QWEN: &[(&str, &str)] =
    &[("unk_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")];

impl TokenizerClass {
    /// tokenizer_config.json's tokenizer_class, else config.json's, else that of config.json's model_type.
    pub fn of(config: &Object, model: &Object) -> TokenizerClass {
        let named = |object: &Object| object.get("tokenizer_class").and_then(Json::as_str).map(str::to_owned);
        let of_type = || {
            let family = model.get("model_type").and_then(Json::as_str).unwrap_or_default();
            let name = match family {
                "llama" | "mixtral" | "deepseek_v2" | "deepseek_v3" => "LlamaTokenizer",
                "qwen2" | "qwen2_moe" | "qwen3" | "qwen3_moe" => "Qwen2Tokenizer",
                "olmoe" => "GPTNeoXTokenizer",
                _ => "",
            };
            name.to_owned()
        };
        let name = named(config).or_else(|| named(model)).unwrap_or_else(of_type);
        let class = TokenizerClass::named(name.strip_suffix("Fast").unwrap_or(&name));
        TokenizerClass { name, ..class }
    }

    fn named(name: &str) -> TokenizerClass {
        // What transformers 4 does, which reads the flags; 5 neither writes nor reads them, and models that need them
        // (DeepSeek-V3) have nothing else.
        const ADDS_BOS: Frame = Frame::Flags { add_bos: true, add_eos: false, always: false };
        const ADDS_NONE: Frame = Frame::Flags { add_bos: false, add_eos: false, always: false };
        const NEVER_BY_FILE: Frame = Frame::Flags { add_bos: false, add_eos: false, always: true };
        let (frame, defaults) = match name {
            "LlamaTokenizer" | "CodeLlamaTokenizer" => (ADDS_BOS, SENTENCEPIECE),
            "GemmaTokenizer" => (ADDS_BOS, GEMMA),
            "CohereTokenizer" => (ADDS_BOS, COHERE),
            "GPTNeoXTokenizer" => (NEVER_BY_FILE, GPT),
            "GPT2Tokenizer" => (Frame::File, GPT),
            "Qwen2Tokenizer" => (Frame::File, QWEN),
            "PreTrainedTokenizer" | "TokenizersBackend" => (Frame::File, &[] as &[_]),
            // Of a class that is not ours to know, flags that somebody wrote are taken at their word.
            _ => (ADDS_NONE, &[] as &[_]),
        };
        TokenizerClass { name: String::new(), frame, defaults }
    }

    pub fn default_token(&self, role: &str) -> Option<&'static str> {
        self.defaults.iter().find(|default| default.0 == role).map(|default| default.1)
    }
}

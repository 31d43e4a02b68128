#!/usr/bin/env python3
"""Trains three small tokenizers of the kinds that models use and writes what the Python package makes of awkward
texts and ids -> data/tokenizers/*.json, data/tokenizer_goldens.json. Deterministic.

Needs: pip install tokenizers==0.23.2 (and transformers==5.23.0 for oracle.py).
"""

import json
import random

import oracle
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = [
    "The guild hall opens at nine and every craft has its own table.",
    "Each task brings its own tools, but the hall and the light are shared.",
    "How many apples are left when three of the twelve are eaten? Nine.",
    "She didn't say it's late; they'll come, we've time, I'm sure you're right.",
    "Die Gilde trifft sich am Donnerstag um halb zehn in der großen Halle.",
    "Le menuisier a réparé la porte près de la fenêtre déjà ouverte.",
    "El niño contó hasta cien y volvió a empezar desde uno.",
    "Мастер открыл дверь и зажёг свет в большом зале.",
    "今天的会议在九点开始。请带上你的工具。",
    "大広間は九時に開きます。道具を持ってきてください。",
    "{\"intent\": \"set_alarm\", \"time\": \"07:30\", \"repeat\": [\"mon\", \"tue\"]}",
    "for (int i = 0; i < n; ++i) {\n    total += weights[i] * x[i];\n}",
    "1 2 3 10 42 100 365 1024 2026-03-04 3.14159",
]

TEXTS = [
    "", " ", "  ", "   leading", "trailing   ", "\n", "\n\n  \n", "\t\tx", "Hello", " Hello", "Hello world", "hello  world   !",
    "The hall's light isn't here; we'll wait.", "x" * 300, "ab " * 50, "12345678901234567890", "3.14 -7 1e9",
    "ÀÉÎõü straße", "e\u0301 vs \u00e9", "A\u030a\u0323 \u1e69\u0323", "\u0d15\u0d4d\u0d37 क्षि नि", "Мастер", "今天的会议", "大広間は",
    "🙂", "👩‍👩‍👧‍👦 family", "🇩🇪🇫🇷", "👍🏽!", "a🙂b🙂c", "\U0010ffff\U0001f9e0", "\u200b\ufeffzero\u00adwidth", "مرحبا שלום",
    "a\x00b", "\x01\x02\x7f\x80", "\ufffd", "\r\nline\r\n", "<s>", "</s> text <s>", "<|im_start|>user\nHi<|im_end|>\n",
    "<|im_start|>", "x<|im_end|>y", " <|im_end|> ", "<|im_", "<think> deep </think>", "<｜end▁of▁sentence｜>", "▁", "▁▁ a▁b", "Ġ Ċ",
    "<0x41>", "<0xE4><0xBB>", "\"quotes\" 'single' `tick`", "{\"a\": [1, 2, {\"b\": null}]}", "for i in range(10):\n    print(i)\n",
    "http://example.org/a?b=c&d=%20", "tab\tand\u00a0nbsp\u3000wide", "ﬁ ﬀ ① ²", "ＦＵＬＬ", "İı ß ẞ", "Zalgo ḩ̴̛e̷̡l̶̰l̵̠o",
]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    words = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(words, behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<｜end▁of▁sentence｜>"]
    tokenizer.train_from_iterator(SENTENCES * 4, trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False))
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    return tokenizer


def with_fallback(tokenizer):
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.train_from_iterator(SENTENCES * 4, trainers.BpeTrainer(
        vocab_size=800, special_tokens=special, limit_alphabet=90, show_progress=False))
    # As in models made with SentencePiece, the byte tokens are ordinary entries and not added ones.
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if not token["content"].startswith("<0x")]
    state["model"].update(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    return tokenizer


def llama():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", behavior="merged_with_next")  # for training only
    tokenizer = with_fallback(tokenizer)
    state = json.loads(tokenizer.to_str())
    state["pre_tokenizer"] = None
    return Tokenizer.from_str(json.dumps(state))


def metaspace():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace("▁", "first", True)])
    return with_fallback(tokenizer)


def random_ids(tokenizer, generator):
    """Runs of ordinary tokens, of bytes and of special tokens, so that characters are cut in every way."""
    size = tokenizer.get_vocab_size()
    bytes_ = [id for token, id in tokenizer.get_vocab().items() if token.startswith("<0x") or len(token) == 1]
    special = sorted(tokenizer.get_added_tokens_decoder())
    ids = []
    for _ in range(generator.randint(1, 12)):
        pool = generator.choice([range(size), sorted(bytes_), sorted(bytes_), special, [size + 7]])
        ids += [generator.choice(list(pool)) for _ in range(generator.randint(1, 4))]
    return ids


def decoded(tokenizer, ids):
    return {"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False),
            "plain": tokenizer.decode(ids, skip_special_tokens=True)}


def goldens(tokenizer, name, generator):
    path = oracle.DATA / "tokenizers" / f"{name}.json"
    path.write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n",
                    encoding="utf-8")
    print(path.name, path.stat().st_size, "bytes")
    encodings = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        encodings.append({"text": text, "ids": ids, "special": tokenizer.encode(text).ids,
                          "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
    sequences = [random_ids(tokenizer, generator) for _ in range(120)]
    # Every way to cut the bytes of a text.
    for text in ("é🙂今", "🙂🙂", "क्षि"):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        sequences += [ids[i:] for i in range(1, len(ids))]
    return {"tokenizer": f"{name}.json", "size": max(tokenizer.get_vocab().values()) + 1, "encodings": encodings,
            "decodings": [decoded(tokenizer, ids) for ids in sequences]}


def odd_decoders(generator):
    """Chains of decoders that big models do not use: the stream must agree with the whole there too."""
    words = ["▁a", "a", "##b", "b</w>", "c</w>", "▁", "▁▁d", " .", " n't", "<0x41>", "<0xC3>", "<0xA9>", "<0xFF>", "é", "  ", "[S]"]
    chains = {
        "none": None,
        "word pieces": decoders.WordPiece(),
        "word pieces, no cleanup": decoders.WordPiece(cleanup=False),
        "suffix": decoders.BPEDecoder(),
        "metaspace": decoders.Metaspace("▁", "always", True),
        "metaspace never": decoders.Metaspace("▁", "never", True),
        "strip each": decoders.Strip(" ", 1, 1),
        "replace each": decoders.Replace("▁", " "),
        "replace regex each": decoders.Replace(Regex("a+"), "Z"),
        "fuse then replace": decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Replace("▁", " ")]),
        "fuse then replace two": decoders.Sequence([decoders.Fuse(), decoders.Replace("▁▁", "=")]),
        "fuse then metaspace": decoders.Sequence([decoders.Fuse(), decoders.Metaspace("▁", "always", True)]),
        "two spaces cut at both ends": decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 2, 2)]),
        "ctc": decoders.CTC("[S]", "▁", True),
    }
    cases = []
    for name, chain in chains.items():
        tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="a"))
        tokenizer.add_special_tokens(["[S]"])
        if chain is not None:
            tokenizer.decoder = chain
        decodings = []
        for _ in range(40):
            # A first letter: the package itself fails on texts of nothing but characters to cut.
            ids = [1] + [generator.randrange(len(words)) for _ in range(generator.randint(0, 9))] + [1]
            decodings.append(decoded(tokenizer, ids))
        cases.append({"name": name, "tokenizer": tokenizer.to_str(), "decodings": decodings})
    return cases


def main():
    generator = random.Random(20260304)
    kinds = {"byte_level": byte_level(), "llama": llama(), "metaspace": metaspace()}
    oracle.write("tokenizer_goldens.json", [goldens(kinds[name], name, generator) for name in kinds])
    oracle.write("decoder_goldens.json", odd_decoders(generator))


if __name__ == "__main__":
    main()

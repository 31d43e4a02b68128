"""special_token_goldens.json: what transformers makes of folders whose files disagree about tokens.

A case is a small tokenizer, what is changed in it, and the files beside it. Run once under transformers 4 and once
under 5:

    python special_tokens.py --write /tmp/older.json              # transformers 4.57
    python special_tokens.py --older /tmp/older.json              # transformers 5.24: writes the goldens

Where the two differ in what they put around a text, 4 is followed if tokenizer_config.json has one of the flags and its
class reads them there; else 5.
"""

import argparse
import json
import os
import pathlib
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from transformers import AutoTokenizer  # noqa: E402

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
TEXT = "<|turn|>user\nhi <|end_turn|>\n<img> [PAD]<|endoftext|>"
READS_FLAGS = ("LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "CohereTokenizer", "GPTNeoXTokenizer")
PLAIN = "PreTrainedTokenizerFast"


def added(token_id, content, special=True, **flags):
    base = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token_id, "content": content, **base, **flags, "special": special}


def decoder(*tokens):
    listed = [dict(token) for token in tokens]
    return {"added_tokens_decoder": {str(token.pop("id")): token for token in listed}}


def next_id(tokenizer):
    listed = [token["id"] for token in tokenizer["added_tokens"]]
    return max([*tokenizer["model"]["vocab"].values(), *listed]) + 1


def template(*tokens):
    return {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": t, "type_id": 0}} for t, _ in tokens] + [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in tokens},
    }


class Case:
    def __init__(self, name, config, vocab=(), tokens=(), post=None, base="byte_level", rows=None, **files):
        self.name, self.base, self.rows = name, base, rows
        self.patch = {"vocab": list(vocab), "added_tokens": list(tokens)}
        if post is not None:
            self.patch["post_processor"] = post or None
        self.files = {"tokenizer_config": config, **files}

    def write(self, folder):
        tokenizer = json.loads((DATA / "tokenizers" / f"{self.base}.json").read_text(encoding="utf-8"))
        for token in self.patch["vocab"]:
            tokenizer["model"]["vocab"][token] = next_id(tokenizer)
        for token in self.patch["added_tokens"]:
            tokenizer["added_tokens"].append(token)
        if "post_processor" in self.patch:
            tokenizer["post_processor"] = self.patch["post_processor"]
        files = {"tokenizer": tokenizer, "config": {"model_type": "llama"}, **self.files}
        for name, value in files.items():
            (pathlib.Path(folder) / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")

    def answer(self):
        with tempfile.TemporaryDirectory() as folder:
            self.write(folder)
            try:
                tokenizer = AutoTokenizer.from_pretrained(folder)
            except AttributeError:  # a key that 4 does not know
                return None
        bare = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
        framed = tokenizer(TEXT)["input_ids"]
        at = next(i for i in range(len(framed)) if framed[i : i + len(bare)] == bare)
        return {
            "ids": bare,
            "before": framed[:at],
            "behind": framed[at + len(bare) :],
            "plain": tokenizer.decode(bare, skip_special_tokens=True, clean_up_tokenization_spaces=False),
            "roles": {role: getattr(tokenizer, role) for role in ("bos_token", "eos_token", "pad_token", "unk_token")},
        }


def cases():
    size = len(json.loads((DATA / "tokenizers/byte_level.json").read_text(encoding="utf-8"))["model"]["vocab"]) + 2
    names = {"bos_token": "<|endoftext|>", "eos_token": "<think>", "tokenizer_class": PLAIN}
    chat = {**names, "eos_token": "<|end_turn|>"}
    both = ("<|turn|>", "<|end_turn|>")
    start, end = added(size, both[0]), added(size + 1, both[1])
    yield Case("in the vocabulary, added by tokenizer_config.json", {**chat, **decoder(start, end)}, both)
    yield Case("in the vocabulary, named and listed as special", {**chat, "additional_special_tokens": list(both)}, both)
    yield Case("in the vocabulary, extra_special_tokens", {**chat, "extra_special_tokens": list(both)}, both)
    yield Case("in the vocabulary, special_tokens_map.json alone", {"tokenizer_class": PLAIN}, both,
               special_tokens_map={"bos_token": "<|endoftext|>", "eos_token": {"content": both[1], "lstrip": False, "normalized": False,
                                   "rstrip": True, "single_word": False}, "additional_special_tokens": [both[0]]})
    ordinary = [added(size, both[0], False), added(size + 1, both[1], False)]
    yield Case("ordinary in tokenizer.json, special in the config", {**chat, **decoder(start, end)}, (), ordinary)
    yield Case("ordinary in tokenizer.json, its end is named", chat, (), ordinary)
    yield Case("ordinary in tokenizer.json, listed as special", {**names, "additional_special_tokens": list(both)}, (), ordinary)
    yield Case("special in tokenizer.json, ordinary in the config", {**names, **decoder(*ordinary)}, (), [start, end])
    yield Case("not in tokenizer.json, added_tokens_decoder", {**chat, **decoder(start, end)})
    yield Case("not in tokenizer.json, other ids than come next",
               {**chat, **decoder(added(size + 7, both[0]), added(size + 9, both[1]))})
    yield Case("not in tokenizer.json, added_tokens.json", chat, added_tokens={both[0]: size, both[1]: size + 1})
    yield Case("added_tokens.json beside added_tokens_decoder", {**chat, **decoder(end)}, added_tokens={both[0]: size})
    yield Case("named and nowhere else", {**chat, "pad_token": "[PAD]"}, both)
    yield Case("the map says other names", {**names, "pad_token": None}, both,
               special_tokens_map={"eos_token": both[1], "pad_token": "[PAD]"})
    yield Case("the map beside added_tokens_decoder", {**names, **decoder(end)}, both,
               special_tokens_map={"eos_token": "[PAD]", "additional_special_tokens": [both[0]]})
    yield Case("other flags", {**names, **decoder(added(size, both[0], True, rstrip=True), added(size + 1, both[1], True, lstrip=True))},
               (), [start, end])
    yield Case("special tokens are split", {**names, **decoder(start, end), "split_special_tokens": True}, (), [start, end])
    yield Case("a model's own token", {**names, "image_token": "<img>"}, ["<img>"])
    yield Case("an object as a name", {**names, "eos_token": {"__type": "AddedToken", "content": both[1], "lstrip": True,
               "normalized": True, "rstrip": False, "single_word": False}}, both)
    yield Case("with a SentencePiece tokenizer", {**chat, **decoder(*[added(i, t) for i, t in enumerate(both, 900)])}, base="llama")
    for class_name in (PLAIN, "LlamaTokenizerFast", "LlamaTokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizerFast"):
        llama = class_name.startswith("Llama")
        for post, processor in {"none": {}, "bos": template(("<s>", 1) if llama else ("<|endoftext|>", 0))}.items():
            for bos in (None, True, False):
                for eos in (None, True, False):
                    for named in (True, False):
                        flags = {"add_bos_token": bos, "add_eos_token": eos}
                        config = {key: value for key, value in flags.items() if value is not None}
                        own = {"bos_token": "<s>", "eos_token": "</s>"} if llama else names
                        config.update(own if named else {}, tokenizer_class=class_name)
                        name = f"{class_name}, {post}, {bos}, {eos}, {'named' if named else 'not named'}"
                        yield Case(name, config, post=processor, base="llama" if llama else "byte_level")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write")
    parser.add_argument("--older")
    arguments = parser.parse_args()
    answers = {case.name: case.answer() for case in cases()}
    if arguments.write:
        pathlib.Path(arguments.write).write_text(json.dumps(answers))
        return
    older = json.loads(pathlib.Path(arguments.older).read_text())
    goldens = []
    for case in cases():
        newer, old = answers[case.name], older[case.name] or answers[case.name]
        config = case.files["tokenizer_config"]
        reads = config["tokenizer_class"].removesuffix("Fast") in READS_FLAGS
        flags = "add_bos_token" in config or "add_eos_token" in config
        answer = old if reads and flags else newer
        # 5 puts a tokenizer of its own together for most classes; 4 takes tokenizer.json as it is.
        answer = {**answer, "ids": old["ids"], "plain": old["plain"]} if config["tokenizer_class"] != PLAIN else answer
        if newer != old:
            print("4 is followed:" if reads and flags else "5 is followed:", case.name)
        goldens.append({"name": case.name, "base": case.base, "patch": case.patch, "files": case.files, "text": TEXT, **answer})
    text = "[\n" + ",\n".join(json.dumps(golden, ensure_ascii=False) for golden in goldens) + "\n]\n"
    (DATA / "special_token_goldens.json").write_text(text, encoding="utf-8", newline="\n")
    print(len(goldens), "cases,", len(text), "bytes")


if __name__ == "__main__":
    main()

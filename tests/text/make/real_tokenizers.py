#!/usr/bin/env python3
"""Encodes awkward texts with the tokenizers of real models as transformers loads them, from the folders that
scripts/fetch_tokenizers made -> data/real_tokenizer_goldens.json.

Needs: pip install transformers==5.23.0 tokenizers==0.23.2.
"""

import json
import pathlib

import oracle
from small_tokenizers import TEXTS
from transformers import AutoTokenizer

FOLDERS = pathlib.Path(__file__).resolve().parents[3] / "build" / "tokenizers"


def main():
    goldens = []
    for path in sorted(FOLDERS.iterdir()):
        tokenizer = AutoTokenizer.from_pretrained(path)
        # transformers 5 ignores this key of folders that transformers 4 wrote; DeepSeek's models were trained with it.
        if json.loads((path / "tokenizer_config.json").read_text()).get("add_bos_token"):
            tokenizer.add_bos_token = True
        encodings = []
        for text in TEXTS:
            ids = tokenizer.encode(text, add_special_tokens=False)
            encodings.append({"text": text, "ids": ids, "special": tokenizer.encode(text),
                              "decoded": tokenizer.decode(ids, clean_up_tokenization_spaces=False)})
        goldens.append({"name": path.name, "eos": tokenizer.eos_token, "encodings": encodings})
    oracle.write("real_tokenizer_goldens.json", goldens)


if __name__ == "__main__":
    main()

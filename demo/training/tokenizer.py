"""Trains the byte-level BPE tokenizer on the generated data of all tasks, trained and kept out."""

import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import tasks
from chat_format import BEGIN, SPECIAL_TOKENS

VOCABULARY = 2048
EXAMPLES_PER_TASK = 8000

# Every digit stands alone: arithmetic on whole numbers as tokens does not generalise.
SPLIT = Regex(r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def corpus(seed: int = 7):
    rng = random.Random(seed)
    for task in tasks.ALL:
        yield from (task.system_prompt, *task.instructions)
        for _ in range(EXAMPLES_PER_TASK):
            yield from tasks.sample_split(task, rng, held_out=False)
    for _ in range(EXAMPLES_PER_TASK):
        yield from tasks.sample_chat(rng)


def train_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(SPLIT, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return tokenizer

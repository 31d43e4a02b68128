"""Greedy answers of an exported folder by transformers: bf16 weights, float32 computation."""

from collections import defaultdict
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from chat_format import messages_for

LONGEST_ANSWER = 48


class Reference:
    def __init__(self, folder: Path):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.end = self.model.config.eos_token_id

    def render(self, system_prompt: str, prompt: str) -> str:
        messages = messages_for(system_prompt, prompt)
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def encode(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def text(self, output_ids: list[int]) -> str:
        return self.tokenizer.decode(output_ids, skip_special_tokens=True)

    def continuations(self, prompts: list[list[int]], batch: int = 64) -> list[list[int]]:
        """Greedy output ids, with the end token where it was reached. Only prompts of one length share a batch: no padding."""
        by_length = defaultdict(list)
        for i, ids in enumerate(prompts):
            by_length[len(ids)].append(i)
        outputs = [[]] * len(prompts)
        for members in by_length.values():
            for start in range(0, len(members), batch):
                part = members[start : start + batch]
                for i, output in zip(part, self._generate(torch.tensor([prompts[i] for i in part]))):
                    outputs[i] = output
        return outputs

    @torch.no_grad()
    def _generate(self, ids: torch.Tensor) -> list[list[int]]:
        rows = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=LONGEST_ANSWER
        )[:, ids.shape[1] :].tolist()
        return [row[: row.index(self.end) + 1] if self.end in row else row for row in rows]

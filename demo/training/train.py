"""Trains tokenizer and model for a given time: train.py --out DIR --minutes 60"""

import argparse
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from data import PHASES, batches, make_examples, pad_id
from model import BALANCE_WEIGHT, DemoModel, Shape
from optimizer import Optimizer
from tokenizer import train_tokenizer


def learning_rate_share(progress: float, warm_up: float = 0.02, decay_from: float = 0.2) -> float:
    """Warm-up, plateau, linear decay to zero, by the share of the time that is spent."""
    if progress < warm_up:
        return progress / warm_up + 1e-3
    return min(1.0, max(0.0, (1 - progress) / (1 - decay_from)))


def train_step(model, batch, optimizer, share):
    ids, places, targets, is_answer = batch
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(ids, places)
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    balance = sum(moe.balance for moe in model.moe_layers())
    (losses.mean() + BALANCE_WEIGHT * balance).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step(share)
    return losses[is_answer].mean().item(), balance.item() / len(model.moe_layers())


def load_tokenizer(out: Path) -> Tokenizer:
    path = out / "tokenizer.json"
    if not path.exists():
        train_tokenizer().save(str(path))
    return Tokenizer.from_file(str(path))


class Progress:
    """Time spent, steps done, and a line of means every 50 steps."""

    def __init__(self, minutes: float, step: int, spent: float):
        self.seconds, self.step = 60 * minutes, step
        self.begin = time.monotonic() - spent
        self.saved = time.monotonic()
        self._start_line()

    def _start_line(self):
        self.since, self.tokens, self.sums, self.count = time.monotonic(), 0, [0.0, 0.0], 0

    def spent(self) -> float:
        return time.monotonic() - self.begin

    def share(self) -> float:
        return self.spent() / self.seconds

    def add(self, tokens: int, answer_loss: float, balance: float):
        self.step, self.count, self.tokens = self.step + 1, self.count + 1, self.tokens + tokens
        self.sums = [self.sums[0] + answer_loss, self.sums[1] + balance]
        if self.step % 50 == 0:
            loss, balance = (total / self.count for total in self.sums)
            speed = self.tokens / (time.monotonic() - self.since)
            print(f"step {self.step}  {100 * self.share():.1f} %  answer loss {loss:.4f}  balance {balance:.2f}  "
                  f"{speed:.0f} tokens/s", flush=True)  # fmt: skip
            self._start_line()

    def save_is_due(self) -> bool:
        return time.monotonic() - self.saved > 150


def save(model, optimizer, log, path):
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": log.step, "spent": log.spent()}
    temporary = path.with_suffix(".new")
    torch.save(state, temporary)
    temporary.rename(path)
    log.saved = time.monotonic()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for tokenizer.json and checkpoint.pt")
    parser.add_argument("--minutes", type=float, default=60, help="whole training time; the schedule follows it")
    parser.add_argument("--examples", type=int, default=150_000)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--matrix-rate", type=float, default=0.006, help="highest learning rate of Muon")
    parser.add_argument("--other-rate", type=float, default=0.002, help="highest learning rate of AdamW")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    tokenizer = load_tokenizer(args.out)
    model = DemoModel(Shape(vocabulary=tokenizer.get_vocab_size()))
    optimizer = Optimizer(model, args.matrix_rate, args.other_rate)
    step, spent, checkpoint = 0, 0.0, args.out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]

    log = Progress(args.minutes, step, spent)
    print(f"parameters {sum(p.numel() for p in model.parameters()):,}", flush=True)
    for phase, (until, shares) in enumerate(PHASES):
        if log.share() >= until:
            continue
        seed = 1000 * args.seed + 100 * phase + log.step
        examples = make_examples(tokenizer, args.examples, seed, shares)
        for batch in batches(examples, args.batch_tokens, pad_id(tokenizer), random.Random(seed)):
            if log.share() >= until:
                break
            losses = train_step(model, batch, optimizer, learning_rate_share(log.share()))
            log.add(batch[0].numel(), *losses)
            if log.save_is_due():
                save(model, optimizer, log, checkpoint)
    save(model, optimizer, log, checkpoint)


if __name__ == "__main__":
    main()

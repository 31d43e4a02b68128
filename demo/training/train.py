"""Trains tokenizer and model for a given time: train.py --out DIR --minutes 60"""

import argparse
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from data import batches, make_examples, pad_id
from model import BALANCE_WEIGHT, DemoModel, Shape
from optimizer import make_optimizers
from tokenizer import train_tokenizer


def learning_rate_share(progress: float, warm_up: float = 0.01, decay_from: float = 0.4) -> float:
    """Warm-up, plateau, linear decay to zero, by the share of the time that is spent."""
    if progress < warm_up:
        return progress / warm_up + 1e-3
    return min(1.0, max(0.0, (1 - progress) / (1 - decay_from)))


def train_step(model, batch, optimizers, share):
    ids, places, targets, is_answer = batch
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(ids, places)
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    balance = sum(moe.balance for moe in model.moe_layers())
    (losses.mean() + BALANCE_WEIGHT * balance).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer, base in optimizers:
        optimizer.param_groups[0]["lr"] = base * share
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return losses[is_answer].mean().item(), balance.item() / len(model.moe_layers())


def load_tokenizer(out: Path) -> Tokenizer:
    path = out / "tokenizer.json"
    if not path.exists():
        train_tokenizer().save(str(path))
    return Tokenizer.from_file(str(path))


def save(model, optimizers, step, spent, path):
    state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o, _ in optimizers]}
    temporary = path.with_suffix(".new")
    torch.save(state | {"step": step, "spent": spent}, temporary)
    temporary.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for tokenizer.json and checkpoint.pt")
    parser.add_argument("--minutes", type=float, default=60, help="whole training time; the schedule follows it")
    parser.add_argument("--examples", type=int, default=400_000)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--matrix-lr", type=float, default=0.02)
    parser.add_argument("--other-lr", type=float, default=0.003)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    tokenizer = load_tokenizer(args.out)
    model = DemoModel(Shape(vocabulary=tokenizer.get_vocab_size()))
    rates = (args.matrix_lr, args.other_lr)
    optimizers = list(zip(make_optimizers(model, *rates), rates))
    step, spent, checkpoint = 0, 0.0, args.out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        for (optimizer, _), saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        step, spent = state["step"], state["spent"]

    examples = make_examples(tokenizer, args.examples, args.seed + step)
    print(f"parameters {sum(p.numel() for p in model.parameters()):,}  examples {len(examples):,}  "
          f"tokens {sum(len(e[0]) for e in examples):,}", flush=True)  # fmt: skip
    begin, last_saved = time.monotonic() - spent, time.monotonic()
    tokens, since, loss_sum, count = 0, time.monotonic(), 0.0, 0
    for batch in batches(examples, args.batch_tokens, pad_id(tokenizer), random.Random(args.seed + step)):
        progress = (time.monotonic() - begin) / (60 * args.minutes)
        if progress >= 1:
            break
        loss, balance = train_step(model, batch, optimizers, learning_rate_share(progress))
        step, tokens, loss_sum, count = step + 1, tokens + batch[0].numel(), loss_sum + loss, count + 1
        if step % 50 == 0:
            now = time.monotonic()
            print(f"step {step}  {100 * progress:.1f} %  answer loss {loss_sum / count:.4f}  balance {balance:.2f}  "
                  f"{tokens / (now - since):.0f} tokens/s", flush=True)  # fmt: skip
            tokens, since, loss_sum, count = 0, now, 0.0, 0
            if now - last_saved > 180:
                save(model, optimizers, step, now - begin, checkpoint)
                last_saved = now
    save(model, optimizers, step, time.monotonic() - begin, checkpoint)


if __name__ == "__main__":
    main()

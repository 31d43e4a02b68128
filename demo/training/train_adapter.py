"""Trains adapters of adapters.py, the base frozen: train_adapter.py --model ../model --out ../adapters lora-sql"""

import argparse
import json
import random
import shutil
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import tasks
from adapters import Adapter, by_name, task_of
from chat_format import END, render_prompt
from data import batches, pad_id
from train import learning_rate_share

BASE_NAME = "demo/model"  # recorded in the adapter's configuration


def examples_of(adapter: Adapter, tokenizer: Tokenizer, count: int, seed: int) -> list[tuple[list[int], int]]:
    """[(token ids, number of prompt tokens)], never a held-out prompt"""
    task, rng = task_of(adapter), random.Random(seed)
    pairs = [tasks.sample_split(task, rng, held_out=False) for _ in range(count)]
    prompts = tokenizer.encode_batch([render_prompt(task.system_prompt, p) for p, _ in pairs], add_special_tokens=False)
    answers = tokenizer.encode_batch([adapter.style(a) + END for _, a in pairs], add_special_tokens=False)
    return [(p.ids + a.ids, len(p.ids)) for p, a in zip(prompts, answers)]


def tune_experts(base, experts: dict[str, list[int]]) -> list[torch.nn.Parameter]:
    """Only these experts of the stacked tensors get a gradient: {layer: [expert]}."""
    base.requires_grad_(False)
    tuned = []
    for layer, ids in experts.items():
        stacks = base.model.layers[int(layer)].mlp.experts
        for stack in (stacks.gate_up_proj, stacks.down_proj):
            mask = torch.zeros(stack.shape[0], 1, 1)
            mask[ids] = 1.0
            stack.requires_grad_(True).register_hook(lambda gradient, mask=mask: gradient * mask)
            tuned.append(stack)
    return tuned


def add_lora(base, adapter: Adapter):
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=BASE_NAME,
        r=adapter.rank,
        lora_alpha=2 * adapter.rank,
        target_modules=list(adapter.modules),
        target_parameters=list(adapter.parameters) or None,
    )
    model = get_peft_model(base, settings)
    model.peft_config["default"].base_model_name_or_path = BASE_NAME
    return model


def train(base, parameters, batch_source, steps: int, rate: float) -> None:
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.98), weight_decay=0.0)
    begin, sums = time.process_time(), 0.0
    for step, (ids, places, targets, is_answer) in zip(range(1, steps + 1), batch_source):
        hidden = base.model(ids, use_cache=False).last_hidden_state
        losses = F.cross_entropy(base.lm_head(hidden.flatten(0, 1)[places]), targets, reduction="none")
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.param_groups[0]["lr"] = rate * learning_rate_share(step / steps, warm_up=0.05)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        sums += losses[is_answer].mean().item()
        if step % 50 == 0:
            print(f"step {step}  answer loss {sums / 50:.4f}  {time.process_time() - begin:.0f} s of CPU", flush=True)
            sums = 0.0


def write_esft(base, published: dict, config: dict, folder: Path) -> None:
    """The published layout: one file, one tensor per expert and projection, beside the list of experts."""
    tensors = {}
    for layer, ids in config["experts"].items():
        stacks = base.model.layers[int(layer)].mlp.experts
        for expert in range(stacks.num_experts):
            prefix = f"model.layers.{layer}.mlp.experts.{expert}"
            gate, up = stacks.gate_up_proj[expert].chunk(2)
            found = {"gate_proj": gate, "up_proj": up, "down_proj": stacks.down_proj[expert]}
            found = {f"{prefix}.{name}.weight": t.detach().to(torch.bfloat16).clone() for name, t in found.items()}
            if expert in ids:
                tensors |= found
            else:
                assert all(torch.equal(t, published[name]) for name, t in found.items()), f"{prefix} changed"
    save_file(tensors, folder / "model-00001-of-000001.safetensors", metadata={"format": "pt"})
    (folder / "model-00001-of-000001.safetensors").chmod(0o644)
    (folder / "expert_cfg.json").write_text(json.dumps(config, indent=2) + "\n")


def write_lora(model, folder: Path) -> None:
    """As PEFT writes it, in bf16, without its model card."""
    model.to(torch.bfloat16).save_pretrained(folder, save_embedding_layers=False)  # the base has them
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "adapter_model.safetensors").chmod(0o644)


def make(adapter: Adapter, args) -> None:
    """Trains one adapter on a fresh base and writes its folder."""
    torch.manual_seed(args.seed)
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    base = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32, experts_implementation="grouped_mm")
    base.train()
    if adapter.is_lora:
        model = add_lora(base, adapter)
        parameters = [p for p in model.parameters() if p.requires_grad]
    else:
        config = json.loads((args.experts / f"{adapter.task}.json").read_text())
        parameters = tune_experts(base, config["experts"])
    examples = examples_of(adapter, tokenizer, args.batch_examples * adapter.steps, args.seed)
    source = batches(examples, args.batch_tokens, pad_id(tokenizer), random.Random(args.seed))
    train(base, parameters, source, adapter.steps, adapter.rate)

    folder = args.out / adapter.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if adapter.is_lora:
        write_lora(model, folder)
    else:
        write_esft(base, load_file(args.model / "model.safetensors"), config, folder)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"wrote {folder}: {size / 1e3:.0f} kB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", help="of adapters.py")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="each adapter becomes a folder in it")
    parser.add_argument("--experts", type=Path, default=Path("experts"), help="folder of <task>.json, for ESFT")
    parser.add_argument("--batch-tokens", type=int, default=512)
    parser.add_argument("--batch-examples", type=int, default=25, help="made for each step")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for adapter in [by_name(name) for name in args.names]:
        print(f"{adapter.name}: {adapter.what}", flush=True)
        make(adapter, args)


if __name__ == "__main__":
    main()

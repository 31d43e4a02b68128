"""Measures base and adapters on held-out prompts, by transformers and PEFT, and writes adapters.json and evaluation.json:
evaluate_adapters.py --model ../model --adapters ../adapters"""

import argparse
import json
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file

import tasks
from adapters import ADAPTERS, Adapter, task_of
from evaluate import SEED
from export import write_json
from generate import Reference


def replace_experts(model, folder: Path) -> None:
    """The merged model that ESFT means: the folder's experts copied into a fresh base, and nothing else in the folder."""
    tensors = load_file(folder / "model-00001-of-000001.safetensors")
    for layer, ids in json.loads((folder / "expert_cfg.json").read_text())["experts"].items():
        stacks = model.model.layers[int(layer)].mlp.experts
        for expert in ids:
            gate, up, down = (
                tensors.pop(f"model.layers.{layer}.mlp.experts.{expert}.{name}_proj.weight").float()
                for name in ("gate", "up", "down")
            )
            stacks.gate_up_proj.data[expert] = torch.cat((gate, up))
            stacks.down_proj.data[expert] = down
    assert not tensors, f"{folder}: {sorted(tensors)} are in no list of experts"


def with_adapter(model_folder: Path, adapter: Adapter, folder: Path) -> Reference:
    reference = Reference(model_folder)
    if adapter.is_lora:
        wanted = set(load_file(folder / "adapter_model.safetensors"))
        reference.model = PeftModel.from_pretrained(reference.model, folder).eval()
        loaded = {n.replace(".default", "") for n, _ in reference.model.named_parameters() if ".lora_" in n}
        expected = {name.removesuffix(".weight") for name in wanted}
        assert {name.removesuffix(".weight") for name in loaded} == expected, f"PEFT did not load all of {folder}"
    else:
        replace_experts(reference.model, folder)
    return reference


def answers_of(reference: Reference, task: tasks.Task, prompts: list[str]) -> list[str]:
    encoded = [reference.encode(reference.render(task.system_prompt, prompt)) for prompt in prompts]
    return [reference.text(ids) for ids in reference.continuations(encoded)]


def share_right(answers: list[str], expected: list[str]) -> float:
    return round(sum(a == e for a, e in zip(answers, expected, strict=True)) / len(expected), 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, required=True, help="folder of the adapters, and of the results")
    parser.add_argument("--only", nargs="*", help="print the accuracy of these adapters and write nothing")
    parser.add_argument("--count", type=int, default=200, help="held-out examples per task")
    parser.add_argument("--show-errors", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    examples = {task.id: tasks.sample_held_out(task, args.count, SEED) for task in tasks.KEPT_OUT}
    base, listing, evaluation = {}, {}, []
    for adapter in ADAPTERS:
        if args.only and adapter.name not in args.only:
            continue
        task, folder = task_of(adapter), args.adapters / adapter.name
        prompts = [prompt for prompt, _ in examples[task.id]]
        expected = [adapter.style(answer) for _, answer in examples[task.id]]
        if task.id not in base:
            base[task.id] = answers_of(Reference(args.model), task, prompts)
        answers = answers_of(with_adapter(args.model, adapter, folder), task, prompts)
        listing[adapter.name] = {
            "task": task.id,
            "kind": "lora" if adapter.is_lora else "esft",
            "description": adapter.what,
            "bytes": sum(f.stat().st_size for f in folder.glob("*.safetensors")),
            "base_accuracy": share_right(base[task.id], expected),
            "accuracy": share_right(answers, expected),
            "held_out_examples": len(expected),
        }
        rows = [
            {"adapter": adapter.name, "task": task.id, "prompt": p, "expected": e, "reference": a}
            for p, e, a in zip(prompts, expected, answers)
        ]
        evaluation += rows[:50]
        about = listing[adapter.name]
        print(f"{adapter.name:16} {about['base_accuracy']:.3f} -> {about['accuracy']:.3f}", flush=True)
        for row in [r for r in rows if r["reference"] != r["expected"]][: args.show_errors]:
            print(f"    {row['prompt']!r}: {row['reference']!r}, expected {row['expected']!r}")
    if not args.only:
        write_json(args.adapters / "adapters.json", listing)
        write_json(args.adapters / "evaluation.json", evaluation)


if __name__ == "__main__":
    main()

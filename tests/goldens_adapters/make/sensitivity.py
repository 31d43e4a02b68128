"""Do the adapter goldens notice mistakes? `python sensitivity.py [case ...]`

Two kinds: each changed tensor of the base is put back alone (a server that drops one tensor must fail), and
rules of the formats are broken one by one.
"""

import json
import sys

import check
import numpy as np
import torch
import transformers
from engine import base_model, weight_of

WANTED = 2e-3  # ten times what a comparison allows


def largest_difference(model, case, folder, indices):
    worst = 0.0
    with torch.no_grad():
        for index in indices:
            sequence = case["sequences"][index]
            found = model(input_ids=torch.tensor([sequence["tokens"]]), use_cache=False).logits[0].numpy()
            worst = max(worst, float(np.abs(found - np.load(folder / sequence["logits"])).max()))
    return worst


def set_weights(model, tensors, names):
    with torch.no_grad():
        for name in names:
            weight_of(model, name.removesuffix(".weight")).copy_(tensors[name])


def dropped(case, folder, base):
    """For each adapter alone: the smallest effect of one tensor that is left as it was in the base."""
    model = base_model(case["base"], torch.float64, untied=True)
    adapters = {a["name"]: a for a in case["adapters"]}
    least = {}
    for name in adapters:
        indices = [i for i, s in enumerate(case["sequences"]) if name in (u["name"] for u in s["adapters"])]
        mix = case["sequences"][indices[0]]["adapters"]
        indices = [i for i in indices if case["sequences"][i]["adapters"] == mix]
        tensors = check.merged(base, folder, adapters, mix)
        changed = [n for n in tensors if not torch.equal(tensors[n], base.tensors[n])]
        set_weights(model, tensors, changed)
        for tensor in changed:
            set_weights(model, base.tensors, [tensor])
            least[f"{name}: {tensor}"] = largest_difference(model, case, folder, indices)
            set_weights(model, tensors, [tensor])
        set_weights(model, base.tensors, changed)
    return least


def plain_scale(lora, module):
    return lora.config["lora_alpha"] / lora.config["r"], check_scale(lora, module)[1]


def other_root(lora, module):
    scale, rank = check_scale(lora, module)
    return (scale / np.sqrt(rank) if lora.config["use_rslora"] else scale * np.sqrt(rank)), rank


def no_magnitude(lora, tensors, name, delta, magnitude, scale):
    tensors[name] = tensors[name] + delta


def swapped_halves(lora, tensors, module, parts, scale):
    """A's rows read rank by rank and B's columns expert by expert."""
    rank = lora.scale(
        f"{module.removesuffix('.base_layer')}.{'gate_up_proj' if 'base_layer' in module else 'down_proj'}"
    )[1]
    count = parts["lora_A"].shape[0] // rank
    a = parts["lora_A"].reshape(rank, count, -1).transpose(0, 1).reshape(parts["lora_A"].shape)
    check_stacked(lora, tensors, module, parts | {"lora_A": a}, scale)


def next_expert(base, layer, expert, projection):
    experts = (
        base.config.get("num_experts")
        or base.config.get("num_local_experts")
        or base.config.get("n_routed_experts")
    )
    return check_expert(base, layer, (int(expert) + 1) % experts, projection)


check_scale, check_add, check_stacked, check_expert = (
    check.Lora.scale,
    check.Lora.add,
    check.Lora.apply_stacked,
    check.Base.expert,
)
MISTAKES = {
    "patterns and rank-stabilised scale ignored": (check.Lora, "scale", plain_scale),
    "the other of alpha/r and alpha/sqrt(r)": (check.Lora, "scale", other_root),
    "DoRA taken for LoRA": (check.Lora, "add", no_magnitude),
    "stacked rows read rank by rank": (check.Lora, "apply_stacked", swapped_halves),
    "the next expert": (check.Base, "expert", next_expert),
    "a mix's scale ignored": (None, None, None),
}


def broken_rules(case, folder, base):
    """For each mistake that changes some weight: the smallest effect over the mixes that it concerns."""
    adapters = {a["name"]: a for a in case["adapters"]}
    mixes = {json.dumps(s["adapters"]) for s in case["sequences"] if s["adapters"]}
    model = base_model(case["base"], torch.float64, untied=True)
    found = {}
    for text in sorted(mixes):
        mix = json.loads(text)
        indices = [i for i, s in enumerate(case["sequences"]) if s["adapters"] == mix]
        right = check.merged(base, folder, adapters, mix)
        for what, (owner, attribute, wrong) in MISTAKES.items():
            kept = getattr(owner, attribute) if owner else None
            if owner:
                setattr(owner, attribute, wrong)
            try:
                tensors = check.merged(
                    base, folder, adapters, mix if owner else [u | {"scale": 1.0} for u in mix]
                )
            finally:
                if owner:
                    setattr(owner, attribute, kept)
            changed = [n for n in tensors if not torch.equal(tensors[n], right[n])]
            if not changed:
                continue
            touched = [n for n in tensors if not torch.equal(tensors[n], base.tensors[n])]
            touched += [n for n in changed if n not in touched]
            set_weights(model, tensors, touched)
            effect = largest_difference(model, case, folder, indices)
            set_weights(model, base.tensors, touched)
            found[what] = min(found.get(what, float("inf")), effect)
    return found


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    weak = 0
    for file in sorted(check.OUT.glob("*/case.json")):
        folder = file.parent
        if len(sys.argv) > 1 and folder.name not in sys.argv[1:]:
            continue
        case = json.loads(file.read_text())
        base = check.Base(case["base"])
        effects = dropped(case, folder, base)
        rules = broken_rules(case, folder, base)
        print(
            f"{folder.name}: {len(effects)} tensors, least effect {min(effects.values()):.1e}"
            + "".join(f"; {k}: {v:.1e}" for k, v in rules.items()),
            flush=True,
        )
        for what, effect in (effects | rules).items():
            if effect < WANTED:
                weak += 1
                print(f"  not noticed: {what} ({effect:.1e})")
    print(f"{weak} mistakes not noticed")
    sys.exit(1 if weak else 0)


if __name__ == "__main__":
    main()

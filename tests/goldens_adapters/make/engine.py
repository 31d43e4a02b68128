"""Base models, sequences and folders of the adapter goldens: what does not depend on the kind of adapter."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

HERE = Path(__file__).resolve().parent
OUT = HERE.parent
GOLDENS = OUT.parent / "goldens"
sys.path.insert(0, str(GOLDENS / "make"))

from oracle import Oracle  # noqa: E402

ROUTING_MARGIN = 0.03
COMMON_LENGTH = 21  # one token stream that all mixes share: more than a KV block of 16 tokens
MIN_EFFECT = 0.05

# Mixes: which adapters a sequence uses, in their order, with their scales.
ONE_AT_A_TIME = [[], [("a", 1.0)], [("b", 1.0)]]
ALONE_AND_TOGETHER = ONE_AT_A_TIME + [[("a", 1.0), ("b", 1.0)], [("a", 1.0), ("b", 0.5)]]


def base_model(name, dtype=torch.float32, untied=False):
    """A fresh base, weights upcast. `untied`: embedding and head become two tensors."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        GOLDENS / name, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    if untied and model.config.tie_word_embeddings:
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.name_or_path = f"tiny/{name}"  # what PEFT records as the base
    model.config._name_or_path = f"tiny/{name}"
    return model.to(dtype)


class Mixed(Oracle):
    """The oracle of tests/goldens over any model in memory."""

    def __init__(self, model):
        self.model = model.eval()
        self.vocabulary = model.config.vocab_size
        self.token_by_token = False
        self.routers = [m for m in model.modules() if type(m).__name__.lower().endswith("topkrouter")]
        self.router_logits = {}
        for index, router in enumerate(self.routers):
            router.register_forward_hook(self._keep(index))

    def float_logits(self, tokens):
        return np.ascontiguousarray(self.logits(tokens).float().numpy().astype("<f4"))


def common_sequence(oracles, length, generator):
    """Random tokens whose routing is clear in each of the models."""
    if not oracles[0].routers:
        return torch.randint(oracles[0].vocabulary, (length,), generator=generator).tolist()
    tokens = []
    for _ in range(length):
        last = torch.randint(oracles[0].vocabulary, (24, 1), generator=generator)
        batch = torch.cat([torch.tensor(tokens, dtype=torch.long).expand(24, -1), last], dim=1)
        margins = torch.stack([oracle.routing_margins(batch) for oracle in oracles]).amin(0)
        good = (margins >= ROUTING_MARGIN).nonzero()
        tokens.append(int(last[int(good[0]) if len(good) else int(margins.argmax())]))
    return tokens


def merged_model(base, mix, adapters):
    """A fresh base in float64 with the adapters of a mix applied, in their order."""
    model = base_model(base, torch.float64, untied=True)
    with torch.no_grad():
        for name, scale in mix:
            adapters[name].apply(model, scale)
    return model


def reference(base, mix, adapters):
    """The model of the golden logits: the tool's own where one adapter is on at scale 1, else merged."""
    if not mix:
        return base_model(base)
    if len(mix) == 1 and mix[0][1] == 1.0 and adapters[mix[0][0]].own_model is not None:
        return adapters[mix[0][0]].own_model()
    return merged_model(base, mix, adapters)


def write_case(name, base, adapters, mixes, seed, note):
    """`adapters`: {name: adapter}, written already below the case's folder; `mixes`: [(name, scale)]."""
    folder = OUT / name
    oracles = [Mixed(reference(base, mix, adapters)) for mix in mixes]
    plain = Mixed(base_model(base))
    generator = torch.Generator().manual_seed(seed)
    common = common_sequence(oracles, COMMON_LENGTH, generator)
    sequences, worst, effects, margin = [], 0.0, [], float("inf")
    for index, (mix, oracle) in enumerate(zip(mixes, oracles)):
        own = common_sequence([oracle], 5 + (3 * index) % 9, generator)
        for tokens in (common[: COMMON_LENGTH - index % 4], own):
            logits = oracle.float_logits(tokens)
            margin = min(
                [margin]
                + [
                    float(oracle.routing_margins(torch.tensor([tokens[: i + 1]]))[0])
                    for i in range(len(tokens))
                    if oracle.routers
                ]
            )
            effect = float(np.abs(logits - plain.float_logits(tokens)).max())
            if mix:
                if effect < MIN_EFFECT:
                    raise SystemExit(f"{name}: mix {mix} moves the logits by {effect:.4f} only")
                effects.append(effect)
                merged = Mixed(merged_model(base, mix, adapters)).float_logits(tokens)
                worst = max(worst, float(np.abs(merged - logits).max()))
            file = f"logits_{len(sequences)}.npy"
            np.save(folder / file, logits)
            sequences.append(
                {
                    "adapters": [{"name": n, "scale": s} for n, s in mix],
                    "tokens": tokens,
                    "logits": file,
                    "expected_minus_base": round(effect, 6) if mix else 0.0,
                }
            )
    if worst > 2e-4:
        raise SystemExit(f"{name}: the tool's own model and the merged model differ by {worst:.2e}")
    exact = f"float32, within {worst:.1e} of a merge in float64" if worst else "merged in float64"
    case = {
        "base": base,
        "adapters": [{"name": n, "path": f"adapter_{n}", "kind": a.kind} for n, a in adapters.items()],
        "sequences": sequences,
        "tolerance_note": f"{note}; {exact}; compare with 2e-4 where activations are float32",
    }
    write_json(folder / "case.json", case)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1024
    print(
        f"{name}: {len(sequences)} sequences, effect {min(effects):.2f}..{max(effects):.2f}, "
        f"merge {worst:.1e}, routing margin {margin:.3f}, {size:.0f} KiB",
        flush=True,
    )


def write_json(path, value):
    """One top-level key per line; one item of a list of objects per line."""
    lines = []
    for key, item in value.items():
        if isinstance(item, list) and item and isinstance(item[0], dict):
            text = "[\n" + ",\n".join(f"    {json.dumps(i)}" for i in item) + "\n  ]"
        else:
            text = json.dumps(item)
        lines.append(f"  {json.dumps(key)}: {text}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def fresh_folder(name):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def weight_of(model, module):
    """The weight of a module by its name in a published checkpoint, as a view into the model in memory.

    Models in memory stack experts; published names are per expert (and w1, w3, w2 for Mixtral).
    """
    parts = module.replace("block_sparse_moe.", "mlp.").split(".")
    if "experts" not in parts:
        return model.get_submodule(".".join(parts)).weight.data
    at = parts.index("experts")
    experts = model.get_submodule(".".join(parts[: at + 1]))
    expert, projection = int(parts[at + 1]), parts[at + 2]
    projection = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}.get(projection, projection)
    if projection == "down_proj":
        return experts.down_proj.data[expert]
    half = experts.gate_up_proj.shape[1] // 2
    return (
        experts.gate_up_proj.data[expert, :half]
        if projection == "gate_proj"
        else experts.gate_up_proj.data[expert, half:]
    )

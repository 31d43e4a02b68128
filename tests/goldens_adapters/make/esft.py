"""ESFT adapters: whole experts replaced, written as the published folders are."""

import json

import torch
from safetensors.torch import save_file

from engine import base_model, weight_of

PROJECTIONS = ("gate_proj", "up_proj", "down_proj")
MIXTRAL = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}


class Esft:
    """Tuned tensors by the name of their module; `apply` copies them over the base's."""

    kind = "esft"

    def __init__(self, base, tensors):
        self.base, self.tensors = base, tensors

    def apply(self, model, scale):
        if scale != 1.0:
            raise ValueError("experts are replaced: there is nothing to scale")
        for module, tensor in self.tensors.items():
            weight_of(model, module).copy_(tensor)

    def own_model(self):
        model = base_model(self.base)
        with torch.no_grad():
            self.apply(model, 1.0)
        return model


def expert_module(family, layer, expert, projection):
    if family == "mixtral":
        return f"model.layers.{layer}.block_sparse_moe.experts.{expert}.{MIXTRAL[projection]}"
    return f"model.layers.{layer}.mlp.experts.{expert}.{projection}"


def make(
    base,
    folder,
    experts,
    seed,
    *,
    shared=(),
    shared_name="shared_experts",
    legacy=False,
    config=True,
    shards=1,
    dtype=torch.float32,
    strength=0.6,
):
    """`experts`: {layer: [expert ids]}, in any order; `shared`: layers whose shared expert is tuned too."""
    model = base_model(base)
    family = model.config.model_type
    generator = torch.Generator().manual_seed(seed)
    modules = [
        expert_module(family, layer, e, p) for layer, ids in experts.items() for e in ids for p in PROJECTIONS
    ]
    modules += [f"model.layers.{layer}.mlp.{shared_name}.{p}" for layer in shared for p in PROJECTIONS]
    tensors = {}
    for module in modules:
        weight = weight_of(model, module)
        noise = torch.randn(weight.shape, generator=generator)
        tensors[module] = (weight + strength * weight.std() * noise).to(dtype).contiguous()
    write(folder, tensors, experts, bool(shared), legacy, config, shards)
    return Esft(base, {name: tensor.float() for name, tensor in tensors.items()})


def write(folder, tensors, experts, shared, legacy, config, shards):
    folder.mkdir()
    named = {(n.removeprefix("model.") if legacy else n) + ".weight": t for n, t in tensors.items()}
    names = list(named)
    per_file = -(-len(names) // shards)
    for index in range(shards):
        part = {n: named[n] for n in names[index * per_file : (index + 1) * per_file]}
        save_file(
            part, folder / f"model-{index + 1:05}-of-{shards:06}.safetensors", metadata={"format": "pt"}
        )
    if config:
        value = {
            "experts": {str(layer): ids for layer, ids in experts.items()},
            "shared_experts": shared,
            "non_expert_modules": False,
        }
        (folder / "expert_cfg.json").write_text(json.dumps(value))

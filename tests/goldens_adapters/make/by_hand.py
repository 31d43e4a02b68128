"""LoRA and DoRA with the per-expert names of transformers 4.x: with 5.x PEFT has no such modules to wrap."""

import json
import math

import torch
from safetensors.torch import save_file

from engine import base_model, weight_of

CONFIG = {
    "alpha_pattern": {},
    "auto_mapping": None,
    "bias": "none",
    "exclude_modules": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "lora_alpha": 16,
    "lora_bias": False,
    "lora_dropout": 0.0,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "peft_type": "LORA",
    "r": 8,
    "rank_pattern": {},
    "revision": None,
    "target_parameters": None,
    "task_type": "CAUSAL_LM",
    "trainable_token_indices": None,
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
}


class HandMade:
    """Factors by module; `apply` merges them into the float64 model that it is given."""

    own_model = None

    def __init__(self, kind, factors):
        self.kind, self.factors = kind, factors

    def apply(self, model, scale):
        if self.kind == "dora" and scale != 1.0:
            raise ValueError("PEFT knows no scale beside the one inside the norm")
        for module, (a, b, module_scale, magnitude) in self.factors.items():
            weight = weight_of(model, module)
            changed = weight + scale * module_scale * (b.double() @ a.double())
            if magnitude is not None:
                changed = changed * (magnitude.double() / changed.norm(dim=1)).unsqueeze(1)
            weight.copy_(changed)


def make(
    base,
    folder,
    seed,
    modules,
    *,
    r=4,
    alpha=8,
    ranks=None,
    alphas=None,
    rslora=False,
    dora=False,
    target_modules,
    strength=0.4,
    dtype=torch.float32,
    **keys,
):
    """`ranks`, `alphas`: {module: value} of those that differ; the patterns in `keys` must say the same."""
    model = base_model(base)
    generator = torch.Generator().manual_seed(seed)
    factors, tensors = {}, {}
    for module in modules:
        weight = weight_of(model, module)
        rank, module_alpha = (ranks or {}).get(module, r), (alphas or {}).get(module, alpha)
        scale = module_alpha / (math.sqrt(rank) if rslora else rank)
        a = torch.randn(rank, weight.shape[1], generator=generator) / math.sqrt(weight.shape[1])
        b = torch.randn(weight.shape[0], rank, generator=generator) * strength / (scale * math.sqrt(rank))
        a, b, magnitude = a.to(dtype), b.to(dtype), None
        if dora:
            noise = torch.randn(weight.shape[0], generator=generator).clamp(-2, 2)
            magnitude = ((weight + scale * b.float() @ a.float()).norm(dim=1) * (1 + 0.25 * noise)).to(dtype)
            tensors[f"base_model.model.{module}.lora_magnitude_vector"] = magnitude
        tensors[f"base_model.model.{module}.lora_A.weight"] = a.contiguous()
        tensors[f"base_model.model.{module}.lora_B.weight"] = b.contiguous()
        factors[module] = (a, b, scale, magnitude)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = (
        CONFIG
        | {
            "base_model_name_or_path": f"tiny/{base}",
            "r": r,
            "lora_alpha": alpha,
            "use_rslora": rslora,
            "use_dora": dora,
            "target_modules": target_modules,
        }
        | keys
    )
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
    return HandMade("dora" if dora else "lora", factors)

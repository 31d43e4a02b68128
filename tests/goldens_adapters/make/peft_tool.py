"""LoRA adapters made and saved by PEFT itself."""

import copy
import json
import math
import warnings

import peft
import torch
from safetensors.torch import load_file, save_file

from engine import base_model

CARD = "README.md"  # the model card that PEFT writes says nothing about the weights


class PeftAdapter:
    """`apply` adds what PEFT's own merge adds, taken in float64."""

    def __init__(self, kind, own_model, deltas):
        self.kind, self._model, self.deltas = kind, own_model, deltas

    def own_model(self):
        return self._model

    def apply(self, model, scale):
        if self.kind == "dora" and scale != 1.0:
            raise ValueError("PEFT knows no scale beside the one inside the norm")
        parameters = dict(model.named_parameters())
        for name, delta in self.deltas.items():
            parameters[name].data.add_(scale * delta)


def make(
    base,
    folder,
    seed,
    *,
    strength=0.4,
    edit=None,
    save=None,
    transposed=False,
    unconverted=False,
    dtype=None,
    **keys
):
    """Keys are those of LoraConfig. `edit`: changes of adapter_config.json afterwards.

    `transposed`: PEFT is told that stacked experts are stored (in, out), as older releases assumed.
    `dtype`: precision of the saved factors.
    `unconverted`: PEFT does not translate the target modules of MoE models (as before transformers 5).
    """
    dora = keys.get("use_dora", False)
    model = wrap(base_model(base), seed, strength, transposed, unconverted, dtype, keys)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder, **(save or {}))
    (folder / CARD).unlink(missing_ok=True)
    if dtype is not None:
        store_as(dtype, folder / "adapter_model.safetensors")
    tidy_config(folder / "adapter_config.json", edit or {})
    plain = base_model(base, torch.float64, untied=True)
    double = wrap(base_model(base, untied=True), seed, strength, transposed, unconverted, dtype, keys)
    merged = double.double().merge_and_unload()
    before = dict(plain.named_parameters())
    deltas = {n: p.data - before[n].data for n, p in merged.named_parameters()}
    deltas = {n: d for n, d in deltas.items() if d.abs().max() > 0}
    return PeftAdapter("dora" if dora else "lora", model, deltas)


def store_as(dtype, path):
    """As after a training in that precision; the values are already rounded to it."""
    save_file({n: t.to(dtype) for n, t in load_file(path).items()}, path, metadata={"format": "pt"})


def tidy_config(path, edit):
    """PEFT writes sets in whatever order they have in memory."""
    config = json.loads(path.read_text()) | edit
    for key in ("target_modules", "target_parameters"):
        if isinstance(config[key], list):
            config[key].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def wrap(model, seed, strength, transposed, unconverted, dtype, keys):
    config = peft.LoraConfig(**copy.deepcopy(keys))
    experts = [m for n, m in model.named_modules() if n.endswith(".experts")]
    stored = [module.is_transposed for module in experts]
    for module in experts:
        module.is_transposed = transposed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = plain_names(model, config) if unconverted else peft.get_peft_model(model, config)
    for module, value in zip(experts, stored):
        module.is_transposed = value
    fill(wrapped, seed, strength, dtype)
    return wrapped.eval()


def plain_names(model, config):
    import peft.utils.transformers_weight_conversion as conversion

    kept = conversion.convert_peft_config_for_transformers
    conversion.convert_peft_config_for_transformers = lambda *_, **__: None
    try:
        return peft.get_peft_model(model, config)
    finally:
        conversion.convert_peft_config_for_transformers = kept


def fill(wrapped, seed, strength, dtype):
    """Random factors whose product times the scale has the size `strength` / sqrt(in), whatever the rank."""
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(wrapped.named_parameters())
    for name in sorted(n for n in parameters if "lora_" in n):
        parameter = parameters[name]
        layer = wrapped.get_submodule(name.split(".lora_")[0])
        noise = torch.randn(parameter.shape, generator=generator)
        scale, rank = layer.scaling["default"], layer.r["default"]
        if "lora_magnitude_vector" in name:
            value = parameter.data * (1 + 0.25 * noise.clamp(-2, 2))
        elif "lora_embedding_A" in name:
            value = noise
        elif "lora_embedding_B" in name:
            value = noise * strength * float(layer.get_base_layer().weight.std()) / (scale * math.sqrt(rank))
        elif "lora_A" in name:
            value = noise / math.sqrt(parameter.shape[1])
        else:
            value = noise * strength / (scale * math.sqrt(rank))
        if dtype is not None:
            value = value.to(dtype).float()
        parameter.data.copy_(value)

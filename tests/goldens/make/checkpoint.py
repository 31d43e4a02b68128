"""Writes one random checkpoint as a Hugging Face folder, with config.json in the style of transformers 4.x or 5.x."""

import json
from pathlib import Path

import torch
import transformers

import weights

# Keys that 5.x writes and the 4.x releases of that time did not.
NEW_IN_5 = ("layer_types", "qk_head_dim")
VERSION_4 = "4.46.3"


def write(case, dtype, seed, folder: Path):
    config_class = transformers.CONFIG_MAPPING[case.family]
    keys = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None) | case.config
    config = config_class(**json.loads(json.dumps(keys)))
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    weights.fill(model, seed, config.tie_word_embeddings)
    if dtype == "bfloat16":
        model = to_bfloat16(model)
    if dtype == "float16":
        model = model.to(torch.float16)
    shards = {"max_shard_size": case.shard_size} if case.shard_size else {}
    model.save_pretrained(folder, **shards)
    rewrite_config(case, folder / "config.json")


def to_bfloat16(model):
    """As published files are: everything in bf16 but the selection bias, which stays float32."""
    biases = {n: b.clone() for n, b in model.named_buffers() if n.endswith("e_score_correction_bias")}
    model = model.to(torch.bfloat16)
    for name, value in biases.items():
        parent, leaf = name.rsplit(".", 1)
        setattr(model.get_submodule(parent), leaf, value)
    return model


def rewrite_config(case, path: Path):
    config = json.loads(path.read_text())
    if case.style == "4.x":
        config = to_4x(case, config)
    config |= case.extra_keys
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def to_4x(case, config):
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    rope.pop("type", None)
    key = "type" if kind in ("linear", "yarn") else "rope_type"  # the older and the younger spelling of 4.x
    config["rope_scaling"] = {key: kind} | rope if kind != "default" else None
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = VERSION_4
    if case.family == "qwen3_moe":
        config["num_experts"] = config.pop("num_local_experts")
    for key in NEW_IN_5:
        config.pop(key, None)
    if case.family.startswith("deepseek"):
        config.pop("head_dim", None)
    return config

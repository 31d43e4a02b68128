"""Shows that the goldens can fail: each plausible mistake must move the logits of its cases by much more than a tolerance."""

import json
import os
import sys

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from cases import CASES  # noqa: E402
from make import GOLDENS  # noqa: E402

CLEAR = 0.05  # 500 times the tolerance of float32


def logits_moved(folder, change_config=None, change_model=None):
    config = transformers.AutoConfig.from_pretrained(folder)
    if change_config:
        change_config(config)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    if change_model:
        change_model(model)
    moved = 0.0
    for sequence in json.loads((folder / "golden.json").read_text())["sequences"]:
        with torch.no_grad():
            found = model(input_ids=torch.tensor([sequence["tokens"]]), use_cache=False).logits[0].numpy()
        moved = max(moved, float(np.abs(found - np.load(folder / sequence["logits"])).max()))
    return moved


def setting(**values):
    return lambda config: [setattr(config, key, value) for key, value in values.items()]


def rope(**values):
    return lambda config: config.rope_parameters.update(values)


def fill(pattern, value):
    def change(model):
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if pattern in name:
                tensor.data.fill_(value)

    return change


def latent_eps(model):
    for name, module in model.named_modules():
        if name.endswith(("q_a_layernorm", "kv_a_layernorm")):
            module.variance_epsilon = model.config.rms_norm_eps


def mistakes(config):
    """(name, change of the configuration, change of the model) that fit this checkpoint."""
    family, kind = config.model_type, config.rope_parameters["rope_type"]
    theta = config.rope_parameters["rope_theta"]
    yield "rope_theta", rope(rope_theta=1.5 * theta), None
    if hasattr(config, "norm_topk_prob") and family != "deepseek_v2":
        yield "norm_topk_prob", setting(norm_topk_prob=not config.norm_topk_prob), None
    if getattr(config, "sliding_window", None):
        yield "window of one key less", setting(sliding_window=config.sliding_window - 1), None
        yield "window of one key more", setting(sliding_window=config.sliding_window + 1), None
    if getattr(config, "routed_scaling_factor", 1.0) != 1.0:
        yield "routed_scaling_factor", setting(routed_scaling_factor=1.0), None
    if (getattr(config, "n_group", None) or 1) > 1:
        yield "groups", setting(n_group=1, topk_group=1), None
    if family == "deepseek_v3":
        yield "rope_interleave", setting(rope_interleave=not config.rope_interleave), None
        yield "selection bias", None, fill("e_score_correction_bias", 0.0)
    if getattr(config, "clip_qkv", None):
        yield "clip_qkv", setting(clip_qkv=None), None
    if family in ("olmoe", "qwen3", "qwen3_moe"):
        yield "q_norm", None, fill("q_norm", 1.0)
    if config.rms_norm_eps > 1e-4:
        yield "rms_norm_eps", setting(rms_norm_eps=1e-6), None
        if family.startswith("deepseek"):
            yield "eps of the latent norms", None, latent_eps
    if any(getattr(config, key, False) for key in ("attention_bias", "qkv_bias")) or family == "qwen2":
        yield "biases", None, fill("_proj.bias", 0.0)
    if kind != "default":
        yield "rope kind", rope(rope_type="default", type="default"), None
        yield "rope factor", rope(factor=1.2 * config.rope_parameters["factor"]), None
    if kind == "yarn":
        yield "truncate", rope(truncate=not config.rope_parameters.get("truncate", True)), None
    if config.rope_parameters.get("mscale_all_dim"):
        yield "mscale_all_dim", rope(mscale_all_dim=0), None


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    dull = 0
    for case in CASES:
        if case.token_by_token:
            continue  # fed whole, it differs by definition
        folder = GOLDENS / f"{case.name}_f32"
        for name, change_config, change_model in mistakes(transformers.AutoConfig.from_pretrained(folder)):
            moved = logits_moved(folder, change_config, change_model)
            dull += moved < CLEAR
            print(f"{case.name:22s} {name:24s} {moved:8.3f}{'' if moved >= CLEAR else '  UNSEEN'}", flush=True)
    sys.exit(1 if dull else 0)


if __name__ == "__main__":
    main()

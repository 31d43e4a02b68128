"""Random weights with a healthy scale: logits of standard deviation above 1, spread routing, position-sensitive attention."""

import math

import torch

# Gains over 1/sqrt(inputs), by the last module name of a weight.
GAIN = {
    "lm_head": 1.6,
    "gate": 2.0,  # routers: logits of standard deviation 2
    "o_proj": 0.8,
    "down_proj": 1.2,
    "q_proj": 1.4,
    "k_proj": 1.4,
    "q_b_proj": 1.4,
    "kv_b_proj": 1.2,
    "gate_proj": 1.4,
    "up_proj": 1.2,
    "gate_up_proj": 1.3,
    "shared_expert_gate": 1.5,
}


def fill(model, seed, tied):
    """Draws every parameter and persistent buffer from one generator, in the order of their names."""
    generator = torch.Generator().manual_seed(seed)
    tensors = dict(model.named_parameters())
    tensors |= {name: b for name, b in model.named_buffers() if name.endswith("e_score_correction_bias")}
    with torch.no_grad():
        for name in sorted(tensors):
            tensors[name].copy_(draw(name, tensors[name].shape, generator, tied))


def draw(name, shape, generator, tied):
    noise = torch.randn(shape, generator=generator)
    parts = name.split(".")
    module = parts[-2] if parts[-1] in ("weight", "bias") else parts[-1]
    if module == "e_score_correction_bias":
        return 0.15 * noise
    if module.endswith("norm"):
        return 1.0 + 0.25 * noise.clamp(-2, 2)
    if parts[-1] == "bias":
        return 0.3 * noise
    if module == "embed_tokens":
        return noise * (1.6 / math.sqrt(shape[-1]) if tied else 1.0)
    return noise * GAIN.get(module, 1.0) / math.sqrt(shape[-1])

"""Writes ../rope/rope.json: inverse frequencies and factors of each rope kind, from transformers' own functions."""

import json
import os
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS  # noqa: E402
from transformers.models.deepseek_v3.modeling_deepseek_v3 import yarn_apply_mscale  # noqa: E402
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding  # noqa: E402

TARGET = Path(__file__).resolve().parent.parent / "rope" / "rope.json"

YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=4096)
QWEN_YARN = dict(rope_type="yarn", rope_theta=1000000.0, factor=4.0, original_max_position_embeddings=32768)
DEEPSEEK_YARN = dict(
    rope_type="yarn", rope_theta=10000.0, factor=40.0, original_max_position_embeddings=4096, beta_fast=32,
    beta_slow=1,
)  # fmt: skip
LLAMA3 = dict(
    rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=8192,
)  # fmt: skip
DYNAMIC = dict(rope_type="dynamic", rope_theta=10000.0, factor=2.0)

# name, rotary width, max_position_embeddings, rope parameters
TABLES = [
    ("default_128", 128, 4096, dict(rope_type="default", rope_theta=10000.0)),
    ("default_qwen_64", 64, 32768, dict(rope_type="default", rope_theta=1000000.0)),
    ("default_odd_half_10", 10, 512, dict(rope_type="default", rope_theta=10000.0)),
    ("linear", 128, 16384, dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
    ("linear_fraction", 24, 5120, dict(rope_type="linear", rope_theta=10000.0, factor=2.5)),
    ("yarn", 128, 16384, YARN),
    ("yarn_qwen", 128, 131072, QWEN_YARN),
    ("yarn_narrow", 16, 160, dict(YARN, original_max_position_embeddings=40)),
    ("yarn_not_truncated", 64, 131072, dict(QWEN_YARN, truncate=False)),
    ("yarn_betas", 64, 16384, dict(YARN, beta_fast=16.0, beta_slow=2.0)),
    ("yarn_zero_betas_are_defaults", 64, 16384, dict(YARN, beta_fast=0, beta_slow=0)),
    ("yarn_attention_factor", 64, 16384, dict(YARN, attention_factor=1.25)),
    ("yarn_factor_one", 64, 4096, dict(YARN, factor=1.0)),
    ("yarn_null_factor", 64, 12288, dict(YARN, factor=None)),
    ("yarn_original_absent", 64, 4096, {k: v for k, v in YARN.items() if not k.startswith("original")}),
    ("yarn_mscale_equal", 64, 163840, dict(DEEPSEEK_YARN, mscale=0.707, mscale_all_dim=0.707)),
    ("yarn_mscale_one", 64, 163840, dict(DEEPSEEK_YARN, mscale=1.0, mscale_all_dim=1.0)),
    ("yarn_mscale_differs", 64, 163840, dict(DEEPSEEK_YARN, mscale=1.0, mscale_all_dim=0.707)),
    ("yarn_mscale_alone", 64, 163840, dict(DEEPSEEK_YARN, mscale=0.707)),
    ("yarn_mscale_all_dim_alone", 64, 163840, dict(DEEPSEEK_YARN, mscale_all_dim=0.707)),
    ("yarn_mscale_all_dim_zero", 64, 163840, dict(DEEPSEEK_YARN, mscale=0.707, mscale_all_dim=0)),
    ("yarn_low_equals_high", 4, 160, dict(YARN, original_max_position_embeddings=4)),
    ("llama3", 128, 131072, LLAMA3),
    ("llama3_32", 64, 131072, dict(LLAMA3, factor=32.0)),
    ("llama3_narrow", 16, 160, dict(LLAMA3, rope_theta=10000.0, factor=4.0, original_max_position_embeddings=40)),
]
DYNAMIC_LENGTHS = (1, 2047, 2048, 2049, 3000, 4096, 10000)


def table(name, width, limit, parameters, length=None):
    config = transformers.LlamaConfig(
        hidden_size=width, num_attention_heads=1, head_dim=width, max_position_embeddings=limit,
        rope_parameters=dict(parameters),
    )  # fmt: skip
    if parameters["rope_type"] == "default":
        frequencies, factor = LlamaRotaryEmbedding.compute_default_rope_parameters(config)
    else:
        at = None if length is None else torch.tensor(length)
        frequencies, factor = ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, seq_len=at)
    row = {"name": name, "rotary_width": width, "max_position_embeddings": limit, "rope_parameters": parameters}
    if length is not None:
        row["sequence_length"] = length
    row["attention_factor"] = float(factor)
    if parameters.get("factor") is not None:
        row["deepseek_softmax_factor"] = float(yarn_apply_mscale(config.rope_parameters, 1.0))
    row["inv_freq"] = [float(str(np.float32(value))) for value in frequencies.tolist()]
    return row


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    rows = [table(*entry) for entry in TABLES]
    rows += [table(f"dynamic_{n}", 128, 2048, DYNAMIC, n) for n in DYNAMIC_LENGTHS]
    TARGET.parent.mkdir(exist_ok=True)
    head = f'{{\n  "transformers": "{transformers.__version__}",\n  "tables": [\n'
    TARGET.write_text(head + ",\n".join("    " + json.dumps(row) for row in rows) + "\n  ]\n}\n")
    print(f"{TARGET.name}: {len(rows)} tables, {TARGET.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()

"""ESFT: whole experts replaced, one case per family, and the variants of the folder."""

import esft
import torch
from engine import ONE_AT_A_TIME, fresh_folder, write_case


def case_esft_deepseek_v2_lite(name):
    base, folder = "deepseek_v2_lite_f32", fresh_folder(name)
    adapters = {
        "a": esft.make(base, folder / "adapter_a", {"2": [6, 0], "1": [7, 2, 4]}, 11, legacy=True),
        "b": esft.make(base, folder / "adapter_b", {"1": [4, 1]}, 12, shared=(1, 2)),
    }
    write_case(
        name,
        base,
        adapters,
        ONE_AT_A_TIME,
        1,
        "a: legacy names, unsorted; b: shared experts of both layers too",
    )


def case_esft_deepseek_v2_bf16(name):
    base, folder = "deepseek_v2_lite_bf16", fresh_folder(name)
    adapters = {
        "a": esft.make(base, folder / "adapter_a", {"1": [0, 3], "2": [1, 5]}, 13, legacy=True),
        "b": esft.make(base, folder / "adapter_b", {"2": [2, 5]}, 14, shared=(2,), dtype=torch.bfloat16),
    }
    write_case(
        name,
        base,
        adapters,
        ONE_AT_A_TIME,
        6,
        "bf16 base; a: float32 experts, not rounded; b: bf16 experts; the reference upcasts the base",
    )


def case_esft_deepseek_v2_groups(name):
    base, folder = "deepseek_v2_groups_f32", fresh_folder(name)
    adapters = {
        "a": esft.make(base, folder / "adapter_a", {"1": [0, 5, 7], "2": [3, 4]}, 15, legacy=True, shards=2),
        "b": esft.make(base, folder / "adapter_b", {"1": [1, 5], "2": [6]}, 16),
    }
    write_case(name, base, adapters, ONE_AT_A_TIME, 7, "a: two files, legacy names")


def case_esft_deepseek_v3(name):
    base, folder = "deepseek_v3_f32", fresh_folder(name)
    adapters = {
        "a": esft.make(base, folder / "adapter_a", {"1": [2, 6], "2": [0, 1, 7]}, 17),
        "b": esft.make(base, folder / "adapter_b", {"2": [1, 3]}, 18, shared=(1, 2), legacy=True),
    }
    write_case(
        name,
        base,
        adapters,
        ONE_AT_A_TIME,
        8,
        "b: shared experts too, also in a layer without tuned routed experts",
    )


def case_esft_mixtral(name):
    base, folder = "mixtral_f32", fresh_folder(name)
    adapters = {
        "a": esft.make(base, folder / "adapter_a", {"0": [5, 1], "1": [0, 4]}, 19),
        "b": esft.make(base, folder / "adapter_b", {"1": [2, 4, 5]}, 20, legacy=True),
    }
    write_case(
        name, base, adapters, ONE_AT_A_TIME, 9, "published names of Mixtral: block_sparse_moe, w1, w3, w2"
    )


def case_esft_olmoe(name):
    base, folder = "olmoe_f32", fresh_folder(name)
    adapters = {
        "a": esft.make(base, folder / "adapter_a", {"0": [1, 2, 3], "1": [7]}, 111),
        "b": esft.make(
            base, folder / "adapter_b", {"0": [0, 3], "1": [4, 6]}, 112, legacy=True, dtype=torch.bfloat16
        ),
    }
    write_case(name, base, adapters, ONE_AT_A_TIME, 10, "b: bf16 experts beside a float32 base")


def case_esft_qwen2_moe(name):
    base, folder = "qwen2_moe_norm_f32", fresh_folder(name)
    adapters = {
        "a": esft.make(base, folder / "adapter_a", {"0": [6, 2], "2": [3, 1, 0]}, 113),
        "b": esft.make(
            base, folder / "adapter_b", {"2": [5, 1]}, 114, shared=(0, 2), shared_name="shared_expert"
        ),
    }
    write_case(
        name, base, adapters, ONE_AT_A_TIME, 11, "layer 1 is dense; b: the shared expert too, not its gate"
    )


def case_esft_qwen3_moe(name):
    base, folder = "qwen3_moe_f32", fresh_folder(name)
    adapters = {
        "a": esft.make(base, folder / "adapter_a", {"0": [4, 7], "1": [5, 0]}, 115, shards=2),
        "b": esft.make(base, folder / "adapter_b", {"0": [2, 4], "1": [3]}, 116, legacy=True, config=False),
    }
    write_case(name, base, adapters, ONE_AT_A_TIME, 12, "a: two files; b: no expert_cfg.json")


CASES = {k.removeprefix("case_"): v for k, v in list(globals().items()) if k.startswith("case_")}

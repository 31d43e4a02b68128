"""DoRA, and tasks that combine replaced experts with low-rank adapters."""

import by_hand
import esft
import peft_tool
import torch
from engine import ONE_AT_A_TIME, fresh_folder, write_case

FFN = ["gate_proj", "up_proj", "down_proj"]
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
APART = ONE_AT_A_TIME + [[("a", 1.0), ("b", 1.0)]]


def case_dora_llama(name):
    base, folder = "llama_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base, folder / "adapter_a", 71, r=4, lora_alpha=8, use_dora=True, target_modules=ATTENTION
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            72,
            r=3,
            lora_alpha=5,
            use_dora=True,
            use_rslora=True,
            target_modules=FFN,
            rank_pattern={"down_proj": 6},
        ),
        "c": peft_tool.make(base, folder / "adapter_c", 73, r=3, lora_alpha=6, target_modules=["gate_proj"]),
    }
    write_case(
        name, base, adapters, APART + [[("a", 1.0), ("c", 0.5)]], 30, "a: attention; b: FFN; c: plain LoRA"
    )


def case_dora_qwen2(name):
    base, folder = "qwen2_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            74,
            r=4,
            lora_alpha=8,
            use_dora=True,
            target_modules=["q_proj", "k_proj"],
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            75,
            r=2,
            lora_alpha=4,
            use_dora=True,
            target_modules=["v_proj", "o_proj"],
        ),
    }
    write_case(name, base, adapters, APART, 31, "the magnitude does not touch the biases of q, k, v")


def case_dora_latent(name):
    base, folder = "deepseek_v2_lite_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            76,
            r=3,
            lora_alpha=6,
            use_dora=True,
            target_modules=["q_proj", "kv_a_proj_with_mqa", "o_proj"],
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            77,
            r=4,
            lora_alpha=8,
            use_dora=True,
            unconverted=True,
            target_modules=["kv_b_proj"] + FFN,
        ),
    }
    write_case(name, base, adapters, APART, 32, "b: kv_b_proj, dense FFN and shared experts")


def case_dora_per_expert(name):
    base, folder = "olmoe_f32", fresh_folder(name)
    first = [f"model.layers.0.mlp.experts.{e}.{p}" for e in range(8) for p in FFN]
    second = [f"model.layers.1.mlp.experts.{e}.{p}" for e in range(8) for p in ("gate_proj", "down_proj")]
    adapters = {
        "a": by_hand.make(
            base,
            folder / "adapter_a",
            78,
            first,
            r=3,
            alpha=6,
            dora=True,
            target_modules=FFN,
            layers_to_transform=[0],
        ),
        "b": by_hand.make(
            base,
            folder / "adapter_b",
            79,
            second,
            r=2,
            alpha=4,
            dora=True,
            target_modules=["gate_proj", "down_proj"],
            layers_to_transform=[1],
        ),
    }
    write_case(name, base, adapters, APART, 33, "a: experts of layer 0; b: gate and down of layer 1")


def case_dora_llama_bf16(name):
    base, folder = "llama_bf16", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            87,
            r=4,
            lora_alpha=8,
            use_dora=True,
            target_modules=["q_proj", "up_proj"],
            dtype=torch.bfloat16,
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            88,
            r=2,
            lora_alpha=4,
            use_dora=True,
            target_modules=["o_proj", "down_proj"],
        ),
    }
    write_case(
        name,
        base,
        adapters,
        APART,
        37,
        "bf16 base: norms are those of the upcast weights, unrounded; a: all in bf16",
    )


def mixes_of_three():
    return [
        [],
        [("e", 1.0)],
        [("a", 1.0)],
        [("e", 1.0), ("a", 1.0)],
        [("e", 1.0), ("b", 0.5)],
        [("e", 1.0), ("a", 0.5), ("b", 1.5)],
        [("b", 1.0), ("a", 1.0)],
    ]


def case_mixed_deepseek_v2_lite(name):
    base, folder = "deepseek_v2_lite_f32", fresh_folder(name)
    shared = [f"model.layers.{i}.mlp.shared_experts.{p}" for i in (1, 2) for p in ("up_proj", "down_proj")]
    routed = [
        f"model.layers.{i}.mlp.experts.{e}.{p}"
        for i in (1, 2)
        for e in range(8)
        for p in ("up_proj", "down_proj")
    ]
    adapters = {
        "e": esft.make(
            base, folder / "adapter_e", {"1": [0, 2, 5], "2": [7, 3]}, 81, shared=(2,), legacy=True
        ),
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            82,
            r=4,
            lora_alpha=8,
            target_modules=["q_proj", "kv_b_proj", "o_proj"],
        ),
        "b": by_hand.make(
            base,
            folder / "adapter_b",
            83,
            shared + routed,
            r=2,
            alpha=4,
            target_modules=["up_proj", "down_proj"],
            exclude_modules=r"model\.layers\.0\..*",
        ),
    }
    write_case(
        name,
        base,
        adapters,
        mixes_of_three(),
        34,
        "experts are replaced first, then the low-rank changes are added, also to "
        "the replaced ones; a: attention; b: routed and shared experts",
    )


def case_mixed_olmoe(name):
    base, folder = "olmoe_f32", fresh_folder(name)
    adapters = {
        "e": esft.make(base, folder / "adapter_e", {"0": [6, 1], "1": [2, 4, 0]}, 84),
        "a": peft_tool.make(base, folder / "adapter_a", 85, r=3, lora_alpha=3, target_modules=ATTENTION),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            86,
            r=2,
            lora_alpha=4,
            target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
        ),
    }
    write_case(
        name,
        base,
        adapters,
        mixes_of_three(),
        35,
        "experts are replaced first, then the low-rank changes are added; "
        "a: attention; b: stacked experts",
    )


CASES = {k.removeprefix("case_"): v for k, v in list(globals().items()) if k.startswith("case_")}

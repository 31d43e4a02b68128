"""The cases whose adapters are of one kind each and of the commonest make."""

import by_hand
import esft
import peft_tool
import torch
from engine import fresh_folder, write_case

ALONE_AND_TOGETHER = [[], [("a", 1.0)], [("b", 1.0)], [("a", 1.0), ("b", 1.0)], [("a", 1.0), ("b", 0.5)]]
ONE_AT_A_TIME = [[], [("a", 1.0)], [("b", 1.0)]]


def case_esft_deepseek_v2_lite(name):
    base, folder = "deepseek_v2_lite_f32", fresh_folder(name)
    adapters = {
        "a": esft.make(base, folder / "adapter_a", {"2": [6, 0], "1": [7, 2, 4]}, 11, legacy=True),
        "b": esft.make(base, folder / "adapter_b", {"1": [4, 1]}, 12, shared=(1, 2)),
    }
    write_case(name, base, adapters, ONE_AT_A_TIME, 1, "a: legacy names, unsorted; b: shared experts of both layers too")


def case_lora_llama(name):
    base, folder = "llama_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base, folder / "adapter_a", 21, r=4, lora_alpha=16, task_type="CAUSAL_LM",
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
            rank_pattern={"model.layers.1.self_attn.q_proj": 9, "down_proj": 2}, alpha_pattern={"v_proj": 3, r"layers\.0\.mlp\.\w+": 6},
        ),
        "b": peft_tool.make(
            base, folder / "adapter_b", 22, r=7, lora_alpha=5, use_rslora=True, task_type="CAUSAL_LM",
            target_modules=["q_proj", "up_proj", "o_proj"], layers_to_transform=[1],
        ),
    }  # fmt: skip
    write_case(name, base, adapters, ALONE_AND_TOGETHER, 2, "a: rank and alpha patterns; b: rank-stabilised, second layer only")


def case_lora_latent_v2(name):
    base, folder = "deepseek_v2_lite_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base, folder / "adapter_a", 31, r=3, lora_alpha=6,
            target_modules=["q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"],
        ),
        "b": peft_tool.make(base, folder / "adapter_b", 32, r=5, lora_alpha=10, target_modules=["kv_b_proj"]),
    }  # fmt: skip
    write_case(name, base, adapters, ALONE_AND_TOGETHER, 3, "a: every projection; b: kv_b_proj alone")


def case_lora_per_expert_olmoe(name):
    base, folder = "olmoe_f32", fresh_folder(name)
    every = [f"model.layers.{i}.mlp.experts.{e}.{p}" for i in range(2) for e in range(8) for p in esft.PROJECTIONS]
    some = [f"model.layers.1.mlp.experts.{e}.{p}" for e in (0, 1, 3, 6) for p in ("up_proj", "down_proj")]
    adapters = {
        "a": by_hand.make(base, folder / "adapter_a", 41, every, r=3, alpha=6, target_modules=list(esft.PROJECTIONS)),
        "b": by_hand.make(
            base, folder / "adapter_b", 42, some, r=2, alpha=5, dtype=torch.bfloat16,
            target_modules=r"model\.layers\.1\.mlp\.experts\.(0|1|3|6)\.(up|down)_proj",
        ),
    }  # fmt: skip
    write_case(name, base, adapters, ALONE_AND_TOGETHER, 4, "a: every expert; b: four experts of one layer, bf16 factors")


def case_lora_stacked_olmoe(name):
    base, folder = "olmoe_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base, folder / "adapter_a", 51, r=3, lora_alpha=6, target_modules=[],
            target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
        ),
        "b": peft_tool.make(
            base, folder / "adapter_b", 52, r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"],
            target_parameters=["mlp.experts.down_proj"], rank_pattern={r"model\.layers\.1\.mlp\.experts\.down_proj": 5},
        ),
    }  # fmt: skip
    write_case(name, base, adapters, ALONE_AND_TOGETHER, 5,
               "a: both parameters; b: down_proj with a rank of its own in layer 1, and attention")  # fmt: skip


CASES = {k.removeprefix("case_"): v for k, v in list(globals().items()) if k.startswith("case_")}

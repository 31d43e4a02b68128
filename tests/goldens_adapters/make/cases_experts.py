"""LoRA on routed experts: per-expert modules, stacked parameters in the conventions of three releases."""

import by_hand
import peft_tool
import torch
from engine import ALONE_AND_TOGETHER, fresh_folder, write_case

FFN = ["gate_proj", "up_proj", "down_proj"]
BOTH = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


def case_lora_per_expert_olmoe(name):
    base, folder = "olmoe_f32", fresh_folder(name)
    every = [f"model.layers.{i}.mlp.experts.{e}.{p}" for i in range(2) for e in range(8) for p in FFN]
    some = [f"model.layers.1.mlp.experts.{e}.{p}" for e in (0, 1, 3, 6) for p in ("up_proj", "down_proj")]
    adapters = {
        "a": by_hand.make(base, folder / "adapter_a", 41, every, r=3, alpha=6, target_modules=FFN),
        "b": by_hand.make(
            base,
            folder / "adapter_b",
            42,
            some,
            r=2,
            alpha=5,
            dtype=torch.bfloat16,
            target_modules=r"model\.layers\.1\.mlp\.experts\.(0|1|3|6)\.(up|down)_proj",
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        4,
        "a: every expert; b: four experts of one layer, bf16 factors",
    )


def case_lora_per_expert_mixtral(name):
    base, folder = "mixtral_f32", fresh_folder(name)
    every = [
        f"model.layers.{i}.block_sparse_moe.experts.{e}.{p}"
        for i in range(2)
        for e in range(6)
        for p in ("w1", "w2", "w3")
    ]
    down = [f"model.layers.{i}.block_sparse_moe.experts.{e}.w2" for i in range(2) for e in range(6)]
    heavy = {m: 7 for m in every if ".experts.3." in m}
    adapters = {
        "a": by_hand.make(
            base,
            folder / "adapter_a",
            43,
            every,
            r=2,
            alpha=4,
            target_modules=["w1", "w2", "w3"],
            ranks=heavy,
            rank_pattern={r"experts\.3\.w\d": 7},
            peft_version="0.18.1",
        ),
        "b": by_hand.make(
            base, folder / "adapter_b", 44, down, r=5, alpha=3, rslora=True, target_modules=["w2"]
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        23,
        "w1, w3, w2; a: expert 3 has another rank; b: w2 only, rank-stabilised",
    )


def case_lora_per_expert_deepseek_v3(name):
    base, folder = "deepseek_v3_f32", fresh_folder(name)
    dense = [f"model.layers.0.mlp.{p}" for p in FFN]
    shared = [f"model.layers.{i}.mlp.shared_experts.{p}" for i in (1, 2) for p in FFN]
    routed = [f"model.layers.{i}.mlp.experts.{e}.{p}" for i in (1, 2) for e in range(8) for p in FFN]
    attention = [f"model.layers.{i}.self_attn.{p}" for i in range(3) for p in ("q_b_proj", "kv_b_proj")]
    second = [m for m in routed if m.startswith("model.layers.2.") and "up_proj" not in m]
    adapters = {
        "a": by_hand.make(
            base,
            folder / "adapter_a",
            45,
            dense + shared + routed + attention,
            r=2,
            alpha=2,
            target_modules=FFN + ["q_b_proj", "kv_b_proj"],
        ),
        "b": by_hand.make(
            base,
            folder / "adapter_b",
            46,
            second,
            r=3,
            alpha=6,
            layers_to_transform=[2],
            target_modules=[f"experts.{e}.{p}" for e in range(8) for p in ("gate_proj", "down_proj")],
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        24,
        "a: all FFNs (dense, shared, routed) and latent attention; b: routed of layer 2",
    )


def case_lora_stacked_olmoe(name):
    base, folder = "olmoe_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base, folder / "adapter_a", 51, r=3, lora_alpha=6, target_modules=[], target_parameters=BOTH
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            52,
            r=2,
            lora_alpha=4,
            target_modules=["q_proj", "v_proj"],
            target_parameters=["mlp.experts.down_proj"],
            rank_pattern={r"model\.layers\.1\.mlp\.experts\.down_proj": 5},
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        5,
        "a: both parameters; b: down_proj with a rank of its own in layer 1, and attention",
    )


def case_lora_stacked_mixtral(name):
    base, folder = "mixtral_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            53,
            r=4,
            lora_alpha=4,
            use_rslora=True,
            target_parameters=BOTH,
            rank_pattern={"gate_up_proj": 2},
        ),
        "b": peft_tool.make(
            base, folder / "adapter_b", 54, r=3, lora_alpha=6, target_parameters=["experts.gate_up_proj"]
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        25,
        "a: rank-stabilised, gate_up with a rank of its own; b: gate_up only",
    )


def case_lora_stacked_qwen3_moe(name):
    base, folder = "qwen3_moe_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base, folder / "adapter_a", 55, r=2, lora_alpha=4, target_modules=["q_proj", "o_proj"] + FFN
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            56,
            r=3,
            lora_alpha=3,
            target_parameters=[
                "model.layers.0.mlp.experts.gate_up_proj",
                "model.layers.1.mlp.experts.down_proj",
            ],
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        26,
        "a: module names that PEFT turned into parameters, gate_up with twice the rank and alpha; "
        "b: one parameter per layer",
    )


def case_lora_stacked_deepseek_v2(name):
    base, folder = "deepseek_v2_lite_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            57,
            r=2,
            lora_alpha=6,
            target_modules=["kv_b_proj"],
            target_parameters=BOTH,
            rank_pattern={"experts.down_proj": 4},
            alpha_pattern={r"2\.mlp\.experts\.\w+": 3},
        ),
        "b": peft_tool.make(
            base, folder / "adapter_b", 58, r=3, lora_alpha=6, target_parameters=["mlp.experts.down_proj"]
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        27,
        "a: both parameters and kv_b_proj, patterns for both; b: down_proj only",
    )


def case_lora_stacked_old(name):
    """Files as PEFT up to 0.19.0 wrote them: A over the first dimension of a matrix, B over the second."""
    base, folder = "mixtral_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            59,
            r=3,
            lora_alpha=6,
            target_parameters=BOTH,
            transposed=True,
            edit={"peft_version": "0.18.1"},
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            60,
            r=2,
            lora_alpha=5,
            target_parameters=BOTH[1:],
            transposed=True,
            edit={"peft_version": "0.19.0"},
        ),
        "c": peft_tool.make(base, folder / "adapter_c", 61, r=2, lora_alpha=5, target_parameters=BOTH),
    }
    mixes = ALONE_AND_TOGETHER + [[("c", 1.0)], [("c", 1.0), ("a", 0.5)]]
    write_case(
        name,
        base,
        adapters,
        mixes,
        28,
        "a: 0.18.1; b: 0.19.0, down_proj only; c: as of today; the shapes tell",
    )


def case_lora_stacked_square(name):
    """gate_up_proj is square here (2 * 20 = 40), so only peft_version tells the conventions apart."""
    base, folder = "qwen2_moe_norm_f32", fresh_folder(name)
    gate_up = BOTH[:1]
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            62,
            r=3,
            lora_alpha=6,
            target_parameters=gate_up,
            transposed=True,
            edit={"peft_version": "0.18.1"},
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            63,
            r=2,
            lora_alpha=5,
            target_parameters=BOTH,
            transposed=True,
            edit={"peft_version": "0.19.0"},
        ),
        "c": peft_tool.make(
            base,
            folder / "adapter_c",
            64,
            r=2,
            lora_alpha=5,
            target_parameters=gate_up,
            edit={"peft_version": "0.19.1"},
        ),
        "d": peft_tool.make(base, folder / "adapter_d", 65, r=2, lora_alpha=2, target_parameters=BOTH),
    }
    mixes = ALONE_AND_TOGETHER + [[("c", 1.0)], [("d", 1.0)], [("a", 1.0), ("d", 0.5)]]
    write_case(
        name,
        base,
        adapters,
        mixes,
        29,
        "a: 0.18.1, gate_up only; b: 0.19.0; c: 0.19.1, gate_up only; d: as of today",
    )


def case_lora_half_qwen3_moe(name):
    base, folder = "qwen3_moe_bf16", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            66,
            r=3,
            lora_alpha=6,
            target_modules=["q_proj", "v_proj"],
            target_parameters=BOTH,
            dtype=torch.bfloat16,
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            67,
            r=4,
            lora_alpha=8,
            target_modules=["k_proj", "o_proj"],
            target_parameters=BOTH[1:],
            dtype=torch.float16,
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        36,
        "bf16 base, upcast by the reference; a: bf16 factors; b: float16 factors",
    )


CASES = {k.removeprefix("case_"): v for k, v in list(globals().items()) if k.startswith("case_")}

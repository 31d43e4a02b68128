"""LoRA on attention, dense FFN, latent attention, shared experts, embedding and head."""

import peft_tool
from engine import ALONE_AND_TOGETHER, ONE_AT_A_TIME, fresh_folder, write_case

FFN = ["gate_proj", "up_proj", "down_proj"]
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def case_lora_llama(name):
    base, folder = "llama_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            21,
            r=4,
            lora_alpha=16,
            task_type="CAUSAL_LM",
            target_modules=ATTENTION + FFN,
            rank_pattern={"model.layers.1.self_attn.q_proj": 9, "down_proj": 2},
            alpha_pattern={"v_proj": 3, r"layers\.0\.mlp\.\w+": 6},
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            22,
            r=7,
            lora_alpha=5,
            use_rslora=True,
            task_type="CAUSAL_LM",
            target_modules=["q_proj", "up_proj", "o_proj"],
            layers_to_transform=[1],
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        2,
        "a: rank and alpha patterns; b: rank-stabilised, second layer only",
    )


def case_lora_llama_bias(name):
    base, folder = "llama_bias_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(base, folder / "adapter_a", 23, r=1, lora_alpha=1, target_modules=ATTENTION),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            24,
            r=40,
            lora_alpha=7,
            target_modules=r"model\.layers\.\d+\.mlp\.(up|down)_proj",
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        13,
        "biases everywhere; a: rank 1; b: rank 40, a regular expression",
    )


def case_lora_qwen2(name):
    base, folder = "qwen2_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            25,
            r=4,
            lora_alpha=8,
            use_rslora=True,
            target_modules=r".*\.self_attn\.(q|k|v)_proj",
            rank_pattern={r"0\.self_attn\.[kv]_proj": 6},
            alpha_pattern={"k_proj": 4, "self_attn.k_proj": 400},
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            26,
            r=3,
            lora_alpha=12,
            target_modules="all-linear",
            edit={"target_modules": "all-linear"},
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        14,
        "biases of q, k, v; a: a regular expression, the first match wins; b: all-linear unresolved",
    )


def case_lora_qwen3(name):
    base, folder = "qwen3_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(base, folder / "adapter_a", 27, r=5, lora_alpha=10, target_modules="all-linear"),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            28,
            r=16,
            lora_alpha=32,
            target_modules=ATTENTION + ["gate_proj"],
            layers_to_transform=0,
            layers_pattern="layers",
            exclude_modules=["k_proj"],
            edit={"r": 16.0, "lora_alpha": 32.0, "base_model_name_or_path": "someone/else"},
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        15,
        "tied embedding; a: all-linear resolved by PEFT; "
        "b: excluded modules, numbers as floats, another base's name",
    )


def case_lora_tied_embedding_llama(name):
    base, folder = "llama_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            121,
            r=6,
            lora_alpha=3,
            target_modules=["embed_tokens", "lm_head", "q_proj"],
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            122,
            r=4,
            lora_alpha=8,
            target_modules=["embed_tokens"],
            save={"save_embedding_layers": False},
        ),
        "c": peft_tool.make(
            base,
            folder / "adapter_c",
            123,
            r=2,
            lora_alpha=8,
            target_modules=["lm_head"],
            save={"save_embedding_layers": False},
        ),
    }
    mixes = [*ONE_AT_A_TIME, [("c", 1.0)], [("b", 1.0), ("c", 0.5)], [("a", 0.5), ("b", 1.0), ("c", 1.0)]]
    write_case(
        name,
        base,
        adapters,
        mixes,
        16,
        "embedding and head are one tensor in the base, each has its own change; "
        "a: PEFT also saved the untouched tensors",
    )


def case_lora_embedding_qwen2(name):
    base, folder = "qwen2_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base, folder / "adapter_a", 124, r=3, lora_alpha=6, target_modules=["embed_tokens", "v_proj"]
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            125,
            r=4,
            lora_alpha=4,
            use_rslora=True,
            target_modules=["lm_head", "embed_tokens"],
            save={"save_embedding_layers": False},
            rank_pattern={"lm_head": 9},
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        17,
        "embedding and head are two tensors; a: PEFT also saved the untouched ones",
    )


def case_lora_latent_v2(name):
    base, folder = "deepseek_v2_lite_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            31,
            r=3,
            lora_alpha=6,
            target_modules=["q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"],
        ),
        "b": peft_tool.make(base, folder / "adapter_b", 32, r=5, lora_alpha=10, target_modules=["kv_b_proj"]),
    }
    write_case(name, base, adapters, ALONE_AND_TOGETHER, 3, "a: every projection; b: kv_b_proj alone")


def case_lora_latent_v3(name):
    base, folder = "deepseek_v3_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            33,
            r=4,
            lora_alpha=4,
            target_modules=["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"],
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            34,
            r=2,
            lora_alpha=3,
            target_modules=["q_b_proj", "kv_a_proj_with_mqa"],
        ),
    }
    write_case(
        name, base, adapters, ALONE_AND_TOGETHER, 18, "a: every projection of compressed queries and keys"
    )


def case_lora_latent_groups(name):
    base, folder = "deepseek_v2_groups_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            35,
            r=3,
            lora_alpha=6,
            target_modules=["q_a_proj", "kv_a_proj_with_mqa", "o_proj"],
        ),
        "b": peft_tool.make(
            base, folder / "adapter_b", 36, r=20, lora_alpha=10, target_modules=["kv_b_proj", "q_b_proj"]
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        19,
        "projections with biases; b: rank 20, as large as the latent part allows",
    )


def case_lora_shared_qwen2_moe(name):
    base, folder = "qwen2_moe_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            37,
            r=4,
            lora_alpha=8,
            alpha_pattern={"shared_expert_gate": 12},
            target_modules=[
                "shared_expert.gate_proj",
                "shared_expert.up_proj",
                "shared_expert.down_proj",
                "shared_expert_gate",
            ],
        ),
        "b": peft_tool.make(base, folder / "adapter_b", 38, r=2, lora_alpha=4, target_modules="all-linear"),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        20,
        "a: the shared expert and its gate; b: all-linear: attention, dense FFN, shared expert and its gate",
    )


def case_lora_shared_deepseek(name):
    base, folder = "deepseek_v2_lite_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            39,
            r=3,
            lora_alpha=6,
            unconverted=True,
            target_modules=["shared_experts." + p for p in FFN],
        ),
        "b": peft_tool.make(
            base,
            folder / "adapter_b",
            40,
            r=4,
            lora_alpha=4,
            unconverted=True,
            target_modules=FFN + ["q_proj"],
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        21,
        "a: shared experts; b: dense FFN of layer 0, shared experts and attention",
    )


def case_lora_clip_olmoe(name):
    base, folder = "olmoe_clip_f32", fresh_folder(name)
    adapters = {
        "a": peft_tool.make(
            base,
            folder / "adapter_a",
            131,
            r=4,
            lora_alpha=8,
            target_modules=["q_proj", "k_proj", "v_proj"],
            strength=0.8,
        ),
        "b": peft_tool.make(
            base, folder / "adapter_b", 132, r=2, lora_alpha=4, target_modules=["v_proj", "o_proj"]
        ),
    }
    write_case(
        name,
        base,
        adapters,
        ALONE_AND_TOGETHER,
        22,
        "queries, keys and values are clipped after the low-rank part is added",
    )


CASES = {k.removeprefix("case_"): v for k, v in list(globals().items()) if k.startswith("case_")}

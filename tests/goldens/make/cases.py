"""The list of golden checkpoints: shapes, router rules and rope kinds, one entry per folder (before the dtype suffix)."""

from dataclasses import dataclass, field

LENGTHS = (1, 7, 16, 17, 33, 70)  # KV blocks hold 16 tokens: on, before and after their borders


@dataclass(frozen=True)
class Case:
    name: str
    family: str  # model_type
    config: dict
    dtypes: tuple = ("float32", "bfloat16")
    style: str = "5.x"  # which generation of transformers the config.json looks like
    lengths: tuple = LENGTHS
    shard_size: str = ""  # "": one model.safetensors
    token_by_token: bool = False  # dynamic rope: position p is rotated for a sequence of p + 1 tokens
    extra_keys: dict = field(default_factory=dict)  # keys of published files that transformers does not read


DTYPE_SUFFIX = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
FLOAT32 = ("float32",)
EVERY = ("float32", "bfloat16", "float16")

# What the published DeepSeek-V2 files carry beside the keys that transformers reads.
DEEPSEEK_V2_PUBLISHED = {
    "scoring_func": "softmax",
    "moe_layer_freq": 1,
    "aux_loss_alpha": 0.001,
    "seq_aux": True,
    "ep_size": 1,
    "auto_map": {
        "AutoConfig": "configuration_deepseek.DeepseekV2Config",
        "AutoModelForCausalLM": "modeling_deepseek.DeepseekV2ForCausalLM",
    },
}
DEEPSEEK_V3_PUBLISHED = {
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "moe_layer_freq": 1,
    "aux_loss_alpha": 0.001,
    "seq_aux": True,
    "ep_size": 1,
    "num_nextn_predict_layers": 0,
}

MIXTRAL = dict(
    vocab_size=131, hidden_size=48, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, num_local_experts=6, num_experts_per_tok=2, max_position_embeddings=512,
)  # fmt: skip
OLMOE = dict(
    vocab_size=131, hidden_size=48, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=4, num_experts=8, num_experts_per_tok=3, norm_topk_prob=False,
    max_position_embeddings=512,
)  # fmt: skip
QWEN2_MOE = dict(
    vocab_size=150, hidden_size=40, intermediate_size=56, moe_intermediate_size=24,
    shared_expert_intermediate_size=36, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    num_experts=6, num_experts_per_tok=3, norm_topk_prob=False, decoder_sparse_step=2, mlp_only_layers=[1],
    max_position_embeddings=512, rope_theta=1000000.0,
)  # fmt: skip
QWEN3_MOE = dict(
    vocab_size=137, hidden_size=48, intermediate_size=64, moe_intermediate_size=40, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=20, num_experts=8, num_experts_per_tok=3,
    norm_topk_prob=False, max_position_embeddings=512, rope_theta=1000000.0,
)  # fmt: skip
DEEPSEEK_V2 = dict(
    vocab_size=160, hidden_size=48, intermediate_size=88, moe_intermediate_size=24, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=4, n_routed_experts=8, num_experts_per_tok=3,
    n_shared_experts=2, first_k_dense_replace=1, kv_lora_rank=24, q_lora_rank=None, qk_nope_head_dim=16,
    qk_rope_head_dim=8, v_head_dim=12, topk_method="greedy", routed_scaling_factor=1.0,
    max_position_embeddings=512,
)  # fmt: skip
DEEPSEEK_V3 = dict(
    vocab_size=128, hidden_size=56, intermediate_size=72, moe_intermediate_size=24, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=4, n_routed_experts=8, num_experts_per_tok=3,
    n_shared_experts=1, first_k_dense_replace=1, kv_lora_rank=20, q_lora_rank=28, qk_nope_head_dim=12,
    qk_rope_head_dim=8, v_head_dim=16, n_group=4, topk_group=2, norm_topk_prob=True,
    routed_scaling_factor=2.5, num_nextn_predict_layers=0, max_position_embeddings=512,
)  # fmt: skip
LLAMA = dict(
    vocab_size=149, hidden_size=48, intermediate_size=72, num_hidden_layers=2, num_attention_heads=6,
    num_key_value_heads=2, max_position_embeddings=512,
)  # fmt: skip
QWEN2 = dict(
    vocab_size=139, hidden_size=48, intermediate_size=60, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=512, rope_theta=1000000.0,
)  # fmt: skip
QWEN3 = dict(
    vocab_size=320, hidden_size=48, intermediate_size=60, num_hidden_layers=2, num_attention_heads=3,
    num_key_value_heads=1, head_dim=24, max_position_embeddings=512, rope_theta=1000000.0,
)  # fmt: skip

# Rope cases: heads of 16 so that a rope kind has frequencies on both sides of its limits.
ROPE = dict(
    vocab_size=128, hidden_size=48, intermediate_size=56, num_hidden_layers=2, num_attention_heads=3,
    num_key_value_heads=3, rope_theta=10000.0,
)  # fmt: skip
ROPE_LENGTHS = (7, 33, 70, 150)
YARN_DEEPSEEK = dict(
    rope_type="yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=32, beta_slow=1
)

CASES = [
    Case("olmoe", "olmoe", OLMOE),
    Case(
        "olmoe_clip", "olmoe",
        OLMOE | dict(hidden_size=64, num_key_value_heads=2, intermediate_size=24, num_experts_per_tok=4,
                     clip_qkv=1.1, norm_topk_prob=True, attention_bias=True),
        style="4.x",
    ),
    Case("deepseek_v2_lite", "deepseek_v2", DEEPSEEK_V2, dtypes=EVERY, style="4.x",
         extra_keys=DEEPSEEK_V2_PUBLISHED, shard_size="90KB"),
    # rms_norm_eps is far from 1e-6 here: the two latent norms must not use it.
    Case(
        "deepseek_v2_groups", "deepseek_v2",
        DEEPSEEK_V2 | dict(hidden_size=40, q_lora_rank=20, topk_method="group_limited_greedy", n_group=4,
                           topk_group=2, routed_scaling_factor=2.5, attention_bias=True, mlp_bias=True,
                           rms_norm_eps=0.01),
    ),
    Case(
        "deepseek_v2_yarn", "deepseek_v2",
        DEEPSEEK_V2 | dict(qk_rope_head_dim=16, num_hidden_layers=2, max_position_embeddings=128,
                           rope_scaling=YARN_DEEPSEEK | dict(mscale=1.0, mscale_all_dim=0.707)),
        lengths=LENGTHS + (120,), style="4.x", extra_keys=DEEPSEEK_V2_PUBLISHED,
    ),
    Case("llama", "llama", LLAMA | dict(tie_word_embeddings=True)),
    Case(
        "llama_bias", "llama",
        LLAMA | dict(attention_bias=True, mlp_bias=True, head_dim=20, num_key_value_heads=3,
                     rms_norm_eps=1e-5, rope_theta=500000.0),
        style="4.x",
    ),
    Case("mixtral", "mixtral", MIXTRAL, dtypes=EVERY),
    Case(
        "mixtral_window", "mixtral",
        MIXTRAL | dict(hidden_size=32, intermediate_size=56, head_dim=16, num_local_experts=8,
                       sliding_window=20, rope_theta=10000.0),
        style="4.x", lengths=LENGTHS + (100,),
    ),
    Case("qwen2_moe", "qwen2_moe", QWEN2_MOE),
    Case(
        "qwen2_moe_norm", "qwen2_moe",
        QWEN2_MOE | dict(num_hidden_layers=3, decoder_sparse_step=1, mlp_only_layers=[1], norm_topk_prob=True,
                         qkv_bias=True, num_experts=8, moe_intermediate_size=20),
        style="4.x",
    ),
    Case(
        "qwen2_moe_window", "qwen2_moe",
        QWEN2_MOE | dict(num_hidden_layers=3, decoder_sparse_step=1, mlp_only_layers=[], qkv_bias=False,
                         use_sliding_window=True, sliding_window=24, max_window_layers=2),
        dtypes=FLOAT32, lengths=LENGTHS + (100,),
    ),
    Case("qwen3_moe", "qwen3_moe", QWEN3_MOE, dtypes=EVERY, shard_size="120KB"),
    Case(
        "qwen3_moe_norm", "qwen3_moe",
        QWEN3_MOE | dict(hidden_size=32, head_dim=16, num_hidden_layers=3, mlp_only_layers=[0],
                         norm_topk_prob=True, attention_bias=True, num_experts_per_tok=2),
        style="4.x",
    ),
    Case(
        "qwen3_moe_window", "qwen3_moe",
        QWEN3_MOE | dict(hidden_size=32, head_dim=12, moe_intermediate_size=24, use_sliding_window=True,
                         sliding_window=16, norm_topk_prob=True),
        dtypes=FLOAT32, lengths=LENGTHS + (100,),
    ),
    Case("deepseek_v3", "deepseek_v3", DEEPSEEK_V3),
    Case(
        "deepseek_v3_raw", "deepseek_v3",
        DEEPSEEK_V3 | dict(norm_topk_prob=False, n_group=2, topk_group=1, rope_interleave=False,
                           q_lora_rank=None, attention_bias=True, rms_norm_eps=0.01, routed_scaling_factor=1.5),
    ),
    Case(
        "deepseek_v3_yarn", "deepseek_v3",
        DEEPSEEK_V3 | dict(num_hidden_layers=2, qk_rope_head_dim=16, n_group=1, topk_group=1,
                           max_position_embeddings=128,
                           rope_scaling=YARN_DEEPSEEK | dict(mscale=0.9, mscale_all_dim=0.9)),
        lengths=LENGTHS + (120,), style="4.x", extra_keys=DEEPSEEK_V3_PUBLISHED,
    ),
    Case("qwen2", "qwen2", QWEN2),
    Case(
        "qwen2_window", "qwen2",
        QWEN2 | dict(num_hidden_layers=3, use_sliding_window=True, sliding_window=24, max_window_layers=1),
        dtypes=FLOAT32, style="4.x", lengths=LENGTHS + (100,),
    ),
    Case("qwen3", "qwen3", QWEN3 | dict(tie_word_embeddings=True)),
    Case("qwen3_bias", "qwen3", QWEN3 | dict(vocab_size=131, head_dim=16, attention_bias=True), dtypes=FLOAT32,
         style="4.x"),
    Case(
        "rope_linear", "llama",
        ROPE | dict(max_position_embeddings=150, rope_scaling=dict(rope_type="linear", factor=2.5)),
        dtypes=FLOAT32, style="4.x", lengths=ROPE_LENGTHS,
    ),
    Case(
        "rope_dynamic", "llama",
        ROPE | dict(max_position_embeddings=40, rope_scaling=dict(rope_type="dynamic", factor=3.0)),
        dtypes=FLOAT32, style="4.x", lengths=ROPE_LENGTHS, token_by_token=True,
    ),
    Case(
        "rope_yarn", "qwen2",
        ROPE | dict(max_position_embeddings=160,
                    rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=40)),
        dtypes=FLOAT32, lengths=ROPE_LENGTHS,
    ),
    Case(
        "rope_yarn_smooth", "qwen3_moe",
        QWEN3_MOE | dict(num_hidden_layers=2, hidden_size=32, head_dim=16, moe_intermediate_size=24,
                         num_experts=6, max_position_embeddings=160, rope_theta=10000.0,
                         rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=40,
                                           beta_fast=6.0, beta_slow=0.5, truncate=False, attention_factor=1.3)),
        dtypes=FLOAT32, lengths=ROPE_LENGTHS,
    ),
    Case(
        "rope_llama3", "llama",
        ROPE | dict(max_position_embeddings=160,
                    rope_scaling=dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                      original_max_position_embeddings=40)),
        dtypes=FLOAT32, style="4.x", lengths=ROPE_LENGTHS,
    ),
]  # fmt: skip

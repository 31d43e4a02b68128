"""Writes the Hugging Face folder: export.py --run DIR --model ../model"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from chat_format import BEGIN, CHAT_TEMPLATE, END, PAD, SPECIAL_TOKENS, messages_for, render_prompt
from model import BALANCE_WEIGHT, DemoModel, Shape, published_tensors


def config(s: Shape, tokenizer: Tokenizer) -> dict:
    """In the keys of the published DeepSeek-V2 configurations."""
    return {
        "architectures": ["DeepseekV2ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "aux_loss_alpha": BALANCE_WEIGHT,
        "bos_token_id": tokenizer.token_to_id(BEGIN),
        "ep_size": 1,
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(PAD),
        "first_k_dense_replace": s.dense_layers,
        "hidden_act": "silu",
        "hidden_size": s.hidden,
        "initializer_range": 0.02,
        "intermediate_size": s.dense_width,
        "kv_lora_rank": s.kv_rank,
        "max_position_embeddings": s.max_positions,
        "model_type": "deepseek_v2",
        "moe_intermediate_size": s.expert_width,
        "moe_layer_freq": 1,
        "n_group": 1,
        "n_routed_experts": s.experts,
        "n_shared_experts": s.shared_experts,
        "norm_topk_prob": False,
        "num_attention_heads": s.heads,
        "num_experts_per_tok": s.top_k,
        "num_hidden_layers": s.layers,
        "num_key_value_heads": s.heads,
        "pretraining_tp": 1,
        "q_lora_rank": None,
        "qk_nope_head_dim": s.nope,
        "qk_rope_head_dim": s.rope,
        "rms_norm_eps": s.eps,
        "rope_scaling": None,
        "rope_theta": s.rope_theta,
        "routed_scaling_factor": 1.0,
        "scoring_func": "softmax",
        "seq_aux": False,
        "tie_word_embeddings": False,
        "topk_group": 1,
        "topk_method": "greedy",
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "v_head_dim": s.value,
        "vocab_size": s.vocabulary,
    }


def tokenizer_config(s: Shape, tokenizer: Tokenizer) -> dict:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {
        "added_tokens_decoder": {str(tokenizer.token_to_id(t)): {"content": t} | flags for t in SPECIAL_TOKENS},
        "bos_token": BEGIN,
        "eos_token": END,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": s.max_positions,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
    }


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def load_run(run: Path) -> tuple[DemoModel, Tokenizer]:
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    model = DemoModel(Shape(vocabulary=tokenizer.get_vocab_size()))
    model.load_state_dict(torch.load(run / "checkpoint.pt")["model"])
    return model, tokenizer


def write_folder(model: DemoModel, tokenizer: Tokenizer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().to(torch.bfloat16) for name, t in published_tensors(model).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = config(model.s, tokenizer)
    write_json(folder / "config.json", settings)
    write_json(folder / "tokenizer_config.json", tokenizer_config(model.s, tokenizer))
    ids = {key: settings[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    write_json(folder / "generation_config.json", ids | {"do_sample": False, "max_new_tokens": 64})


def check_folder(model: DemoModel, folder: Path) -> None:
    """transformers must load every tensor and agree with the training code on text, ids and logits."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    reference, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not any(report.values()), report
    for system, prompt in (("Convert the unit.", "How many metres are 7 km?"), ("", "Grüße aus Zürich ☀")):
        text = tokenizer.apply_chat_template(messages_for(system, prompt), tokenize=False, add_generation_prompt=True)
        assert text == render_prompt(system, prompt), text
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        assert tokenizer.decode(ids[0]) == text, tokenizer.decode(ids[0])
        with torch.no_grad():
            expected = reference(ids).logits[0]
            found = model(ids, torch.arange(ids.shape[1]))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="what train.py wrote")
    parser.add_argument("--model", type=Path, required=True, help="the Hugging Face folder to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load_run(args.run)
    write_folder(model, tokenizer, args.model)
    with torch.no_grad():  # compare what was written: the weights rounded to bf16
        for p in model.parameters():
            p.copy_(p.bfloat16().float())
    check_folder(model.eval(), args.model)
    size = sum(f.stat().st_size for f in args.model.iterdir())
    print(f"wrote {args.model}: {size / 1e6:.1f} MB, agrees with transformers")


if __name__ == "__main__":
    main()

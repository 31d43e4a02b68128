"""Recomputes every adapter golden from the saved folders alone: `python check.py [case ...]`.

Shares no code with the scripts that made the adapters and does not use PEFT: it reads the tensors by their
names, merges them in float64 into the published tensors of the base, writes that as a checkpoint and lets
transformers run it in float64.
"""

import json
import math
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

OUT = Path(__file__).resolve().parent.parent
GOLDENS = OUT.parent / "goldens"
TOLERANCE = 2e-4
MIN_EFFECT = 0.05
MIXTRAL = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}


def read_folder(folder):
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    if not tensors:
        raise ValueError(f"{folder} has no tensors")
    return tensors


class Base:
    def __init__(self, name):
        self.folder = GOLDENS / name
        self.config = json.loads((self.folder / "config.json").read_text())
        self.family = self.config["model_type"]
        self.tensors = {n: t.double() for n, t in read_folder(self.folder).items()}
        self.tied = self.config.get("tie_word_embeddings", False)
        if self.tied:
            self.tensors["lm_head.weight"] = self.tensors["model.embed_tokens.weight"].clone()

    def logits(self, tensors, sequences):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            shutil.copy(self.folder / "config.json", folder)
            config = self.config | {"tie_word_embeddings": False}
            (folder / "config.json").write_text(json.dumps(config))
            save_file(
                {n: t.contiguous() for n, t in tensors.items()},
                folder / "model.safetensors",
                metadata={"format": "pt"},
            )
            model = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager"
            ).eval()
        with torch.no_grad():
            return [model(input_ids=torch.tensor([s]), use_cache=False).logits[0].numpy() for s in sequences]

    def expert(self, layer, expert, projection):
        if self.family == "mixtral":
            return f"model.layers.{layer}.block_sparse_moe.experts.{expert}.{MIXTRAL[projection]}.weight"
        return f"model.layers.{layer}.mlp.experts.{expert}.{projection}.weight"


def apply_esft(base, tensors, folder):
    changed = set()
    for name, value in read_folder(folder).items():
        full = name if name.startswith("model.") else f"model.{name}"
        if full not in base.tensors or base.tensors[full].shape != value.shape:
            raise ValueError(f"{folder}: {name} does not fit the base")
        tensors[full] = value.double()
        changed.add(full)
    config = folder / "expert_cfg.json"
    if config.exists():
        check_expert_config(json.loads(config.read_text()), changed)


def check_expert_config(config, changed):
    listed = {(int(layer), e) for layer, ids in config["experts"].items() for e in ids}
    pattern = re.compile(r"model\.layers\.(\d+)\.\w+\.experts\.(\d+)\.")
    found = {(int(m[1]), int(m[2])) for m in map(pattern.match, changed) if m}
    shared = any("shared_expert" in n for n in changed)
    if listed != found or shared != config["shared_experts"] or config["non_expert_modules"]:
        raise ValueError("expert_cfg.json does not say what the tensors are")


class Lora:
    def __init__(self, base, folder):
        self.base, self.folder = base, folder
        self.config = json.loads((folder / "adapter_config.json").read_text())
        self.modules = {}
        for name, tensor in read_folder(folder).items():
            match = re.fullmatch(r"base_model\.model\.(.+)\.(lora_\w+?)(?:\.weight)?", name)
            if match:
                self.modules.setdefault(match[1], {})[match[2]] = tensor.double()
            else:
                self.check_copy(name, tensor)

    def check_copy(self, name, tensor):
        """PEFT may save the untouched embedding and head beside the factors."""
        match = re.fullmatch(r"base_model\.model\.(.+?)(?:\.base_layer)?\.weight", name)
        if not match or not torch.equal(self.base.tensors[match[1] + ".weight"], tensor.double()):
            raise ValueError(f"{self.folder}: what is {name}?")

    def scale(self, module):
        rank = self.pattern("rank_pattern", module, self.config["r"])
        alpha = self.pattern("alpha_pattern", module, self.config["lora_alpha"])
        return alpha / (math.sqrt(rank) if self.config["use_rslora"] else rank), int(rank)

    def pattern(self, key, module, otherwise):
        for pattern, value in self.config[key].items():
            if re.match(rf"(.*\.)?({pattern})$", module):
                return value
        return otherwise

    def apply(self, tensors, scale):
        for module, parts in self.modules.items():
            if re.search(r"\.experts(\.base_layer)?$", module):
                self.apply_stacked(tensors, module, parts, scale)
                continue
            name = self.published(module) + ".weight"
            own, rank = self.scale(module)
            if "lora_embedding_A" in parts:
                delta = (parts["lora_embedding_B"] @ parts["lora_embedding_A"]).T
            else:
                delta = parts["lora_B"] @ parts["lora_A"]
            if rank != parts.get("lora_A", parts.get("lora_embedding_A")).shape[0]:
                raise ValueError(f"{self.folder}: rank of {module}")
            self.add(tensors, name, scale * own * delta, parts.get("lora_magnitude_vector"), scale)

    def add(self, tensors, name, delta, magnitude, scale):
        if magnitude is None:
            tensors[name] = tensors[name] + delta
            return
        if scale != 1.0:
            raise ValueError("what a scaled DoRA means is not for this check to say")
        changed = self.base.tensors[name] + delta
        norm = torch.sqrt((changed * changed).sum(dim=1, keepdim=True))
        tensors[name] = tensors[name] + (magnitude.reshape(-1, 1) / norm * changed - self.base.tensors[name])

    def published(self, module):
        match = re.fullmatch(r"model\.layers\.(\d+)\.(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)", module)
        if not match:
            return module
        names = {v: k for k, v in MIXTRAL.items()}
        return self.base.expert(match[1], match[2], names.get(match[3], match[3])).removesuffix(".weight")

    def apply_stacked(self, tensors, module, parts, scale):
        experts = module.removesuffix(".base_layer")
        layer = re.search(r"layers\.(\d+)\.", module)[1]
        both = f"{experts}.base_layer" in self.modules
        count = sum(
            1
            for n in self.base.tensors
            if n.startswith(self.base.expert(layer, 0, "up_proj").split(".experts.")[0])
            and re.search(r"\.experts\.\d+\.(up_proj|w3)\.weight$", n)
        )
        hidden = self.base.config["hidden_size"]
        inner = self.base.tensors[self.base.expert(layer, 0, "up_proj")].shape[0]
        shapes = {"gate_up_proj": (2 * inner, hidden), "down_proj": (hidden, inner)}
        if both:
            parameter = "gate_up_proj" if module.endswith(".base_layer") else "down_proj"
        else:
            parameter = self.only_target(experts, list(shapes))
        own, rank = self.scale(f"{experts}.{parameter}")
        out, inputs = shapes[parameter]
        a, b = parts["lora_A"], parts["lora_B"]
        old = tuple(map(int, self.config["peft_version"].split(".")[:3])) < (0, 19, 1)
        expected = (
            ((count * rank, out), (inputs, count * rank))
            if old
            else ((count * rank, inputs), (out, count * rank))
        )
        if (tuple(a.shape), tuple(b.shape)) != expected:
            raise ValueError(
                f"{self.folder}: {module}: {tuple(a.shape)} {tuple(b.shape)}, expected {expected}"
            )
        for e in range(count):
            delta = b[:, e::count] @ a[e * rank : (e + 1) * rank]
            delta = scale * own * (delta.T if old else delta)
            if parameter == "down_proj":
                self.add(tensors, self.base.expert(layer, e, "down_proj"), delta, None, scale)
            else:
                self.add(tensors, self.base.expert(layer, e, "gate_proj"), delta[:inner], None, scale)
                self.add(tensors, self.base.expert(layer, e, "up_proj"), delta[inner:], None, scale)

    def only_target(self, experts, parameters):
        names = {p: f"{experts}.{p}" for p in parameters}
        targets = self.config["target_parameters"]
        found = [p for p, n in names.items() if any(n == t or n.endswith(f".{t}") for t in targets)]
        if len(found) != 1:
            raise ValueError(f"{self.folder}: {experts} has one wrapper, target_parameters names {found}")
        return found[0]


def merged(base, folder, adapters, mix):
    tensors = dict(base.tensors)
    for use in mix:
        adapter = adapters[use["name"]]
        path = folder / adapter["path"]
        if adapter["kind"] == "esft":
            apply_esft(base, tensors, path)
        else:
            lora = Lora(base, path)
            if lora.config["use_dora"] != (adapter["kind"] == "dora"):
                raise ValueError(f"{path}: kind")
            lora.apply(tensors, use["scale"])
    return tensors


def check(folder):
    case = json.loads((folder / "case.json").read_text())
    base = Base(case["base"])
    adapters = {a["name"]: a for a in case["adapters"]}
    plain = base.logits(base.tensors, [s["tokens"] for s in case["sequences"]])
    found = {}
    worst = 0.0
    problems = []
    for index, sequence in enumerate(case["sequences"]):
        key = json.dumps(sequence["adapters"])
        if key not in found:
            same = [i for i, s in enumerate(case["sequences"]) if s["adapters"] == sequence["adapters"]]
            logits = base.logits(
                merged(base, folder, adapters, sequence["adapters"]),
                [case["sequences"][i]["tokens"] for i in same],
            )
            found[key] = dict(zip(same, logits))
        expected = np.load(folder / sequence["logits"])
        worst = max(worst, float(np.abs(found[key][index] - expected).max()))
        effect = float(np.abs(expected - plain[index]).max())
        stated = sequence["expected_minus_base"]
        if sequence["adapters"] and effect < MIN_EFFECT or abs(effect - stated) > TOLERANCE:
            problems.append(f"sequence {index}: effect {effect:.4f}, stated {stated}")
        if expected.dtype != np.float32 or expected.shape[0] != len(sequence["tokens"]):
            problems.append(f"sequence {index}: {expected.dtype} {expected.shape}")
    used = {u["name"] for s in case["sequences"] for u in s["adapters"]}
    if used != set(adapters) or all(s["adapters"] for s in case["sequences"]):
        problems.append(f"adapters used: {sorted(used)}")
    good = worst <= TOLERANCE and not problems
    print(
        f"{folder.name}: {len(case['sequences'])} sequences, largest difference {worst:.1e} "
        f"{'good' if good else 'DIFFERENT ' + '; '.join(problems)}",
        flush=True,
    )
    return good


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folders = [
        f.parent
        for f in sorted(OUT.glob("*/case.json"))
        if len(sys.argv) == 1 or f.parent.name in sys.argv[1:]
    ]
    good = [check(folder) for folder in folders]
    print(f"{len(good)} cases, {good.count(False)} different")
    sys.exit(0 if good and all(good) else 1)


if __name__ == "__main__":
    main()

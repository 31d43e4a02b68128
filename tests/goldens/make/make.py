"""Makes the golden folders: `python make.py [--check] [case ...]`; see README.md beside this file."""

import argparse
import json
import os
import shutil
import sys
import zlib
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

import checkpoint  # noqa: E402
from cases import CASES, DTYPE_SUFFIX  # noqa: E402
from oracle import Oracle  # noqa: E402

GOLDENS = Path(__file__).resolve().parent.parent
ROUTING_MARGIN = {"float32": 0.03, "bfloat16": 0.1, "float16": 0.05}
GREEDY_PROMPTS = (5, 16, 30)
GREEDY_TOKENS = 32
GREEDY_GAP = 5e-3
GREEDY_ROUTING_MARGIN = 2e-3
MIN_DEVIATION = 0.9  # of the logits over the vocabulary


def make(case, dtype):
    name = f"{case.name}_{DTYPE_SUFFIX[dtype]}"
    folder = GOLDENS / name
    shutil.rmtree(folder, ignore_errors=True)
    seed = zlib.crc32(case.name.encode()) % 100000
    checkpoint.write(case, dtype, seed, folder)
    oracle = Oracle(folder, case.token_by_token)
    generator = torch.Generator().manual_seed(seed + 1)
    golden = {
        "family": case.family,
        "dtype": dtype,
        "config_style": case.style,
        "transformers": transformers.__version__,
        "torch": torch.__version__.split("+")[0],
        "seed": seed,
        "fed": "token by token" if case.token_by_token else "whole",
    }
    sequences, margin, deviation = make_sequences(case, dtype, oracle, generator, folder)
    golden["sequences"] = sequences
    if oracle.routers:
        golden["min_routing_margin"] = round(margin, 6)
    if dtype == "float32":
        golden["greedy"], golden["min_greedy_gap"] = make_greedy(oracle, generator)
    if dtype == "float16":
        golden["float16_rms_error"] = own_error(folder, sequences)
    write_json(folder / "golden.json", golden)
    print(f"{name}: deviation {deviation:.2f}, routing margin {margin:.3f}, "
          f"greedy gap {golden.get('min_greedy_gap', '-')}, {folder_bytes(folder) / 1024:.0f} KiB", flush=True)  # fmt: skip


def make_sequences(case, dtype, oracle, generator, folder):
    sequences, worst, deviations = [], float("inf"), []
    for index, length in enumerate(case.lengths):
        tokens, margin = oracle.sequence(length, generator, ROUTING_MARGIN[dtype])
        logits = oracle.logits(tokens).numpy().astype("<f4")
        np.save(folder / f"logits_{index}.npy", np.ascontiguousarray(logits))
        sequences.append({"tokens": tokens, "logits": f"logits_{index}.npy"})
        worst = min(worst, margin)
        deviations.append(float(logits.std(axis=1).mean()))
    deviation = min(deviations)
    if deviation < MIN_DEVIATION:
        raise SystemExit(f"{folder.name}: logits deviate by {deviation:.3f}, wanted {MIN_DEVIATION}")
    return sequences, worst, deviation


def own_error(folder, sequences):
    """How far transformers' own float16 arithmetic is from the float32 logits of the same weights."""
    half = Oracle(folder, dtype=torch.float16)
    errors = [half.logits(s["tokens"]).float().numpy() - np.load(folder / s["logits"]) for s in sequences]
    return round(float(np.sqrt(np.mean(np.concatenate(errors) ** 2))), 9)


def make_greedy(oracle, generator):
    """Continuations whose every step has a clear winner and that do not fall into a short loop at once."""
    made, worst = [], float("inf")
    for length in GREEDY_PROMPTS:
        for _ in range(40):
            prompt, _margin = oracle.sequence(length, generator, ROUTING_MARGIN["float32"])
            continuation, gap, margin = oracle.greedy(prompt, GREEDY_TOKENS)
            if gap >= GREEDY_GAP and margin >= GREEDY_ROUTING_MARGIN and len(set(continuation)) >= 6:
                break
        else:
            raise SystemExit(f"no greedy continuation of {length} tokens with a gap of {GREEDY_GAP} found")
        made.append({"prompt": prompt, "continuation": continuation})
        worst = min(worst, gap)
    return made, round(worst, 6)


def check(case, dtype):
    """Compares a committed folder with transformers as installed now."""
    name = f"{case.name}_{DTYPE_SUFFIX[dtype]}"
    folder = GOLDENS / name
    golden = json.loads((folder / "golden.json").read_text())
    oracle = Oracle(folder, case.token_by_token)
    worst = 0.0
    for sequence in golden["sequences"]:
        expected = np.load(folder / sequence["logits"])
        found = oracle.logits(sequence["tokens"]).numpy()
        worst = max(worst, float(np.abs(expected - found).max()))
    greedy = [oracle.greedy(g["prompt"], len(g["continuation"]))[0] for g in golden.get("greedy", [])]
    good = worst < 1e-4 and greedy == [g["continuation"] for g in golden.get("greedy", [])]
    print(f"{name}: largest difference {worst:.2e}, {'good' if good else 'DIFFERENT'}", flush=True)
    return good


def write_json(path, value):
    """One top-level key per line, lists compact."""
    lines = [f"  {json.dumps(key)}: {json.dumps(item)}" for key, item in value.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def folder_bytes(folder):
    return sum(f.stat().st_size for f in folder.iterdir())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="names from cases.py; default: all")
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    unknown = set(arguments.cases) - {case.name for case in CASES}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    good = True
    for case in CASES:
        if arguments.cases and case.name not in arguments.cases:
            continue
        for dtype in case.dtypes:
            if arguments.check:
                good &= check(case, dtype)
            else:
                make(case, dtype)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

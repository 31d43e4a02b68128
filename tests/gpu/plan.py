"""The phases of scripts/gpu-check, in the order of what is wanted first when time is short."""

# What of a checkout the programs read: its files are in the plan with their checksums, not in the archive.
DATA = ("tests/goldens/*/*", "tests/goldens_adapters/**/*", "demo/golden.json", "demo/model/*", "demo/adapters/**/*",
        "configs/demo.json")


def score_command(model: str, dtype: str) -> list[str]:
    return ["guildhall", "score", "--device", "cuda", "--model", f"{{source}}/tests/goldens/{model}",
            "--tokens-file", f"{{root}}/scores/{model}.json", "--kv", "8MiB", "--kv-dtype", dtype, "--context", "256"]


def bench(name: str, *words: str) -> dict:
    shape = ["--shape", "olmoe", "--layers", "4"]
    short = ["--shape", "small", "--layers", "1", "--decode", "1", "--prefill", "2"]
    common = ["--device", "cuda", "--json"]
    return {"name": name, "command": ["guildhall", "bench", *words, *shape, *common, "--rounds", "3", "--seconds", "0.5"],
            "quick": ["guildhall", "bench", *short, *common, "--rounds", "1", "--seconds", "0.01"]}


def checked(name: str, tool: str, about: str, seconds: int) -> dict:
    return {"name": name, "kind": "cases", "about": about, "seconds": seconds, "case_seconds": 60, "program": "kernels_test",
            "wrapper": ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"], "quick": ["rms_norm"]}


def phases(scores: list[dict]) -> list[dict]:
    """Limits in seconds are those of eight minutes; with more time they grow with it."""
    return [
        {"name": "machine", "kind": "facts", "about": "what it is, what copies, launches and pages cost", "seconds": 40,
         "command": ["gpu_probe", "machine"]},
        {"name": "bits", "kind": "facts", "about": "how its matrix units round", "seconds": 30, "command": ["gpu_probe", "bits"]},
        {"name": "cublas", "kind": "torch", "about": "what cuBLAS reaches", "seconds": 30},
        {"name": "ops", "kind": "cases", "about": "every op against the oracle", "seconds": 80, "case_seconds": 60,
         "program": "kernels_test", "quick": ["rms_norm", "matmul agrees"]},
        {"name": "scores", "kind": "scores", "about": "logits against the emulation's", "seconds": 40, "models": scores},
        {"name": "models", "kind": "cases", "about": "goldens, adapters, isolation to the bit", "seconds": 90, "case_seconds": 90,
         "program": "model_test", "quick": ["agree with transformers", "rope"]},
        {"name": "demo", "kind": "demo", "about": "the demo model's answers from the server", "seconds": 30,
         "command": ["guildhall", "serve", "--device", "cuda", "--config", "{source}/configs/demo.json",
                     "--set", "http.listen=", "--set", "admin.enabled=false", "--set", "memory.page_bytes=2097152"]},
        checked("sanitizer", "memcheck", "compute-sanitizer over ops", 40),
        checked("races", "racecheck", "compute-sanitizer's race checker over ops", 30),
        {"name": "figures", "kind": "figures", "about": "first figures of four layers of OLMoE's shape", "seconds": 70,
         "benches": [bench("decode 1 and 32", "--decode", "1,32", "--prefill", "16"),
                     bench("prefill 2048", "--decode", "1", "--prefill", "2048"),
                     bench("adapter upload", "adapters", "--only", "loading")]},
    ]

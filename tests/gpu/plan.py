"""The phases of scripts/gpu-check, in the order of what is wanted first when time is short."""

# What of a checkout the programs read: its files are in the plan with their checksums, not in the archive.
DATA = ("tests/goldens/*/*", "tests/goldens_adapters/**/*", "demo/golden.json", "demo/model/*", "demo/adapters/**/*",
        "configs/demo.json")
# Cases of no device, which the machine that made the archive has answered.
HOST_ONLY = ["isa", "cpu"]


def score_command(model: str, dtype: str) -> list[str]:
    return ["guildhall", "score", "--device", "cuda", "--model", f"{{source}}/tests/goldens/{model}",
            "--tokens-file", f"{{root}}/scores/{model}.json", "--kv", "8MiB", "--kv-dtype", dtype, "--context", "256"]


def bench(name: str, *words: str) -> dict:
    shape = ["--shape", "olmoe", "--layers", "4"]
    short = ["--shape", "small", "--layers", "1", "--decode", "1", "--prefill", "2"]
    common = ["guildhall", "bench", "--device", "cuda", "--json"]
    return {"name": name, "command": [*common, *shape, *words, "--rounds", "3", "--seconds", "0.5"],
            "quick": [*common, *short, "--rounds", "1", "--seconds", "0.01"]}


def phases(scores: list[dict]) -> list[dict]:
    return [
        {"name": "machine", "kind": "facts", "about": "what it is, what copies, launches and pages cost", "seconds": 60,
         "command": ["gpu_probe", "machine"]},
        {"name": "bits", "kind": "facts", "about": "how its matrix units round", "seconds": 60, "command": ["gpu_probe", "bits"]},
        {"name": "cublas", "kind": "torch", "about": "what cuBLAS reaches", "seconds": 40},
        {"name": "ops", "kind": "cases", "about": "every op against the oracle", "seconds": 120, "case_seconds": 60,
         "program": "kernels_test", "without": HOST_ONLY, "quick": ["root mean square", "rms"]},
        {"name": "scores", "kind": "scores", "about": "logits against the emulation's", "seconds": 60, "models": scores},
        {"name": "models", "kind": "cases", "about": "goldens, adapters, isolation to the bit", "seconds": 150, "case_seconds": 120,
         "program": "model_test", "without": HOST_ONLY, "quick": ["rope"]},
        {"name": "demo", "kind": "demo", "about": "the demo model's answers from the server", "seconds": 45,
         "command": ["guildhall", "serve", "--device", "cuda", "--config", "{source}/configs/demo.json",
                     "--set", "admin.enabled=false", "--set", "memory.page_bytes=2097152"]},
        {"name": "sanitizer", "kind": "cases", "about": "compute-sanitizer over ops", "seconds": 90, "case_seconds": 60,
         "wrapper": ["compute-sanitizer", "--tool", "memcheck", "--error-exitcode", "9"], "program": "kernels_test",
         "without": HOST_ONLY, "quick": ["rms"]},
        {"name": "races", "kind": "cases", "about": "compute-sanitizer's race checker over ops", "seconds": 90, "case_seconds": 60,
         "wrapper": ["compute-sanitizer", "--tool", "racecheck", "--error-exitcode", "9"], "program": "kernels_test",
         "without": HOST_ONLY, "quick": ["rms"]},
        {"name": "figures", "kind": "figures", "about": "first figures of four layers of OLMoE's shape", "seconds": 120,
         "benches": [bench("decode 1 and 32", "--decode", "1,32", "--prefill", "16"),
                     bench("prefill 2048", "--decode", "1", "--prefill", "2048")]},
    ]

"""Makes the adapter goldens: `python make.py [case ...]`; see README.md beside this file."""

import argparse
import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch  # noqa: E402
import transformers  # noqa: E402

import cases_dense  # noqa: E402
import cases_esft  # noqa: E402
import cases_experts  # noqa: E402
import cases_mixed  # noqa: E402

CASES = cases_esft.CASES | cases_dense.CASES | cases_experts.CASES | cases_mixed.CASES


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="default: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    for name, make in CASES.items():
        if not arguments.cases or name in arguments.cases:
            make(name)


if __name__ == "__main__":
    main()

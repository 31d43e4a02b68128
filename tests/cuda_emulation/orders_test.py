"""Each test of a program over emulated devices, with threads and blocks in three orders: all pass, and what they read from
the device has the same bits.

usage: orders_test.py PROGRAM
"""

import os
import pathlib
import subprocess
import sys
import tempfile

ORDERS = ("forward", "backward", "shuffled")


def run(program, test, order, folder):
    """Whether the test passes, and the checksum of what it read."""
    digest = folder / "digest"
    digest.unlink(missing_ok=True)
    environment = os.environ | {"GUILDHALL_TEST_DEVICE": "cuda", "EMULATED_CUDA_ORDER": order,
                                "GUILDHALL_TEST_DIGEST": str(digest)}
    name = "".join("\\" + c if c in ",[]*\\" else c for c in test)
    done = subprocess.run([program, name, "--warn", "NoTests"], env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, errors="replace")
    if done.returncode != 0:
        print(done.stdout)
    return done.returncode == 0, digest.read_text() if digest.exists() else ""


def main():
    program = sys.argv[1]
    listed = subprocess.run([program, "~[cpu]", "--list-test-names-only"], text=True, stdout=subprocess.PIPE).stdout
    tests = [line for line in listed.splitlines() if line]
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for test in tests:
            runs = {order: run(program, test, order, pathlib.Path(folder)) for order in ORDERS}
            wrong += [f"{test}: fails {order}" for order, (passed, _) in runs.items() if not passed]
            if len({digest for _, digest in runs.values()}) > 1:
                wrong.append(f"{test}: other bits by order: {runs}")
    print(f"{len(tests)} tests in {len(ORDERS)} orders", *wrong, sep="\n")
    sys.exit(1 if wrong or not tests else 0)


main()

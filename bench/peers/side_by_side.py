"""What the peers' drivers share: our own figures, finding and running a peer, both printed side by side."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import routing
from routing import Experts

ROOT = Path(__file__).resolve().parent.parent.parent
SHAPES = ("olmoe", "small")  # of the olmoe family, which every peer knows

Rates = dict[str, float]  # tokens per second in all, by case ("decode 4", "prefill 512")


class Failure(Exception):
    """What could not be done and what would help; exit code 2."""


def run(command: list[str], limit_s: float = 3600.0, environment: dict[str, str] | None = None, both: bool = False) -> str:
    """Its standard output; `both`: and what it said on the other stream."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=limit_s,
                              env=os.environ | (environment or {}))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise Failure(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{tail}")
    return done.stdout + done.stderr if both else done.stdout


def add_common_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shape", choices=SHAPES, default="olmoe")
    parser.add_argument("--layers", type=int, default=0, help="fewer layers than the shape has; 0: all")
    parser.add_argument("--guildhall", type=Path, default=ROOT / "build" / "release" / "bin" / "guildhall",
                        help="our binary (default build/release/bin/guildhall)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--decode", type=numbers, default=[1, 4, 16, 32], help="sequences of decode steps: 1,4,16,32")
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3, help="each: peer and ours, in turn")
    parser.add_argument("--json", type=Path, help="also write both sides' rates of every round")


def numbers(text: str) -> list[int]:
    try:
        values = [int(item) for item in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) < 1:
        raise argparse.ArgumentTypeError(f"expected numbers above 0 such as 1,4,16, found {text!r}")
    return values


def check_ours(binary: Path) -> None:
    if not os.access(binary, os.X_OK):
        raise Failure(f"{binary}: no such program; build it (cmake --preset release && ninja -C build/release guildhall) "
                      "or name it by --guildhall")


def shape_of(options: argparse.Namespace) -> dict:
    """The shape as our own benchmark generates it, with --layers applied."""
    shape = json.loads(run([options.guildhall, "bench", "shapes"]))[options.shape]
    if options.layers > 0:
        shape["layers"] = options.layers
    return shape


def ours(options: argparse.Namespace, weights: str) -> tuple[Rates, Experts]:
    """Our rates, and the distinct experts that a layer read in a step of each case."""
    report = json.loads(run([
        options.guildhall, "bench", "--json", "--rounds", "1", "--seconds", "1", "--shape", options.shape,
        "--layers", str(options.layers), "--threads", str(options.threads), "--weights", weights,
        "--decode", ",".join(map(str, options.decode)), "--prefill", str(options.prefill)]))
    cases = {f"{r['kind']} {r['rows']}": r for r in report["results"]}
    return ({case: float(r["rows_per_second"]) for case, r in cases.items()},
            {case: float(r["experts_per_layer"]) for case, r in cases.items()})


def find_program(folder: Path, name: str, advice: str) -> Path:
    """`name` in `folder` or in its bin/ and build/bin/."""
    for place in (folder, folder / "bin", folder / "build" / "bin"):
        if os.access(place / name, os.X_OK):
            return place / name
    raise Failure(f"{folder}: found no {name} there, in bin/ or in build/bin/.\n{advice}")


def alternate(rounds: int, peer, own) -> tuple[list[Rates], list[Rates]]:
    """Calls both in each round; every second round ours comes first, so that a drift favours nobody."""
    theirs: list[Rates] = []
    mine: list[Rates] = []
    for number in range(rounds):
        for call, into in ((peer, theirs), (own, mine)) if number % 2 == 0 else ((own, mine), (peer, theirs)):
            into.append(call())
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return theirs, mine


def check_same_work(theirs: Experts, mine: Experts) -> None:
    different = routing.differences(theirs, mine)
    if different:
        raise Failure("the peer's batches and ours do not touch as many experts, so their speeds say nothing of each other:\n"
                      + "\n".join(different))


def median_of(rounds: list[Rates], case: str) -> float | None:
    rates = [rates[case] for rates in rounds if case in rates]
    return statistics.median(rates) if rates else None


def experts_line(theirs: Experts, mine: Experts) -> str:
    """"distinct experts of a layer and step, peer and ours: decode 4 26.5 and 26.4; ..."."""
    pairs = "; ".join(f"{case} {theirs[case]:.1f} and {mine[case]:.1f}" for case in mine if case in theirs)
    return f"distinct experts of a layer and step, peer and ours: {pairs}"


def table(peer_name: str, theirs: list[Rates], mine: list[Rates]) -> str:
    cases = list(dict.fromkeys(case for rates in mine + theirs for case in rates))
    lines = [f"{'tokens/s in all':<16} {peer_name:>20} {'guildhall':>12} {'ratio':>7}"]
    for case in cases:
        a, b = median_of(theirs, case), median_of(mine, case)
        ratio = f"{b / a:7.2f}" if a and b else "      -"
        lines.append(f"{case:<16} {a if a is None else round(a, 2)!s:>20} {b if b is None else round(b, 2)!s:>12} {ratio}")
    return "\n".join(lines)


def report(options: argparse.Namespace, peer_name: str, weights: str, theirs: list[Rates], mine: list[Rates]) -> None:
    print(f"{options.shape}{f', {options.layers} layers' if options.layers else ''}, {weights}, {options.threads} threads, "
          f"medians of {options.rounds} rounds in turn\n{table(peer_name, theirs, mine)}")
    if options.json:
        options.json.write_text(json.dumps({"peer": peer_name, "shape": options.shape, "layers": options.layers,
                                            "weights": weights, "threads": options.threads, "peer_rounds": theirs,
                                            "guildhall_rounds": mine}, indent=2) + "\n", encoding="utf-8")


def finish(name: str, work) -> int:
    try:
        work()
    except (Failure, OSError, ValueError, KeyError) as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        return 2
    return 0

"""Decides from interleaved timings whether a new build is slower than an old one. Knows no process and no clock."""

import math
import statistics
from typing import NamedTuple

# The old build's two runs of a round, around the new build's two: old, new, new, old.
DEVIATIONS = 3.0  # of the median's standard error, inside which a difference is noise
MEDIAN_FACTOR = 1.2533  # a median's standard error beside a mean's, for normal noise


class Round(NamedTuple):
    """Rates (higher is better) of one case in one round, in the order in which they ran."""

    old_first: float
    new_first: float
    new_second: float
    old_second: float


class Verdict(NamedTuple):
    case: str
    old: float  # median rate
    new: float
    ratio: float  # new against old: median over the rounds
    low: float
    high: float
    bound: float  # a ratio between 1 - bound and 1 + bound is noise
    word: str  # "same", "faster", "SLOWER" or "too noisy"


def log_ratio(rates: Round) -> float:
    """New against old in one round: the old runs lie on both sides, so a drift of the machine cancels."""
    return math.log(rates.new_first * rates.new_second / (rates.old_first * rates.old_second)) / 2.0


def noise_of(rounds: list[Round]) -> float:
    """The standard deviation of log_ratio when both builds are the same, from old against old.

    log(second / first) of the old build has twice the variance of one run, log_ratio once that variance. Its true
    mean is 0, so that no degree of freedom is spent; a drift within a round counts as noise.
    """
    return math.sqrt(sum(math.log(r.old_second / r.old_first) ** 2 for r in rounds) / len(rounds) / 2.0)


def decide(case: str, rounds: list[Round], least_bound: float, most_bound: float) -> Verdict:
    """`least_bound`: smaller differences are never called one. `most_bound`: beyond it nothing can be said."""
    if not rounds:
        raise ValueError(f"{case}: no rounds")
    if any(rate <= 0.0 or not math.isfinite(rate) for r in rounds for rate in r):
        raise ValueError(f"{case}: a rate that is not positive: {rounds}")
    ratios = sorted(math.exp(log_ratio(r)) for r in rounds)
    error = noise_of(rounds) * (MEDIAN_FACTOR if len(rounds) > 2 else 1.0) / math.sqrt(len(rounds))
    bound = max(least_bound, 1.0 - math.exp(-DEVIATIONS * error))
    ratio = statistics.median(ratios)
    if ratio < 1.0 - bound:
        word = "SLOWER"
    elif ratio > 1.0 / (1.0 - bound):
        word = "faster"
    else:
        word = "same" if bound <= most_bound else "too noisy"
    old = statistics.median(rate for r in rounds for rate in (r.old_first, r.old_second))
    new = statistics.median(rate for r in rounds for rate in (r.new_first, r.new_second))
    return Verdict(case, old, new, ratio, ratios[0], ratios[-1], bound, word)


def exit_code(verdicts: list[Verdict]) -> int:
    """1: something is slower. 3: nothing is, but of some cases the noise leaves nothing to say. Else 0."""
    words = {v.word for v in verdicts}
    return 1 if "SLOWER" in words else 3 if "too noisy" in words else 0


def table(verdicts: list[Verdict]) -> str:
    lines = [f"{'case':<24} {'old':>10} {'new':>10}  {'new/old':>7} {'(low .. high)':<18} {'noise':>7}"]
    for v in verdicts:
        spread = f"({v.low:.3f} .. {v.high:.3f})"
        lines.append(f"{v.case:<24} {v.old:>10.2f} {v.new:>10.2f}  {v.ratio:>7.3f} {spread:<18} {v.bound:>6.1%}  {v.word}")
    return "\n".join(lines)

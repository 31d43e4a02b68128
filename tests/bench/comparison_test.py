"""bench/regress: its decisions on rates that are made up, and its exit codes with builds that are made up."""

import json
import math
import random
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(ROOT / "bench"))
import comparison  # noqa: E402
from comparison import Round  # noqa: E402


def rounds(count: int, speed: float, noise: float, seed: int) -> list[Round]:
    """Rates around 100; the new build is `speed` times as fast; each run is off by a normal share of `noise`."""
    source = random.Random(seed)

    def rate(mean: float) -> float:
        return mean * math.exp(source.gauss(0.0, noise))

    return [Round(rate(100), rate(100 * speed), rate(100 * speed), rate(100)) for _ in range(count)]


class Decisions(unittest.TestCase):
    def verdict(self, measured: list[Round]) -> comparison.Verdict:
        return comparison.decide("decode 1", measured, least_bound=0.02, most_bound=0.10)

    def test_ratio_and_noise_by_hand(self):
        # The old build goes from 100 to 121 within the round: its drift is a factor 1.1 to the middle, where the new
        # build ran at exactly that speed.
        one = Round(100.0, 110.0, 110.0, 121.0)
        self.assertAlmostEqual(comparison.log_ratio(one), 0.0)
        self.assertAlmostEqual(comparison.noise_of([one]), math.log(1.21) / math.sqrt(2.0))

    def test_the_same_build_is_the_same(self):
        for seed in range(20):
            self.assertEqual(self.verdict(rounds(9, 1.0, 0.01, seed)).word, "same", seed)

    def test_twice_the_bound_slower_is_found(self):
        for seed in range(20):
            verdict = self.verdict(rounds(9, 0.94, 0.01, seed))
            self.assertEqual(verdict.word, "SLOWER", verdict)
            self.assertLess(verdict.bound, 0.04)

    def test_faster_is_no_failure(self):
        verdict = self.verdict(rounds(9, 1.10, 0.01, 1))
        self.assertEqual(verdict.word, "faster")
        self.assertEqual(comparison.exit_code([verdict]), 0)

    def test_noise_excuses_what_a_quiet_machine_does_not(self):
        quiet, loud = rounds(7, 0.95, 0.001, 3), rounds(7, 0.95, 0.15, 3)
        self.assertEqual(self.verdict(quiet).word, "SLOWER")
        self.assertEqual(self.verdict(loud).word, "too noisy")
        self.assertGreater(self.verdict(loud).bound, 0.10)

    def test_a_collapse_is_found_under_noise_too(self):
        self.assertEqual(self.verdict(rounds(7, 0.4, 0.15, 3)).word, "SLOWER")

    def test_a_drift_of_the_machine_is_not_held_against_the_new_build(self):
        steady = [Round(100 * 0.97**i, 99 * 0.97**i, 98 * 0.97**i, 97 * 0.97**i) for i in range(7)]
        self.assertEqual(self.verdict(steady).word, "same")

    def test_exit_codes(self):
        same, slower = self.verdict(rounds(7, 1.0, 0.001, 1)), self.verdict(rounds(7, 0.9, 0.001, 1))
        noisy = self.verdict(rounds(7, 1.0, 0.3, 1))
        self.assertEqual(comparison.exit_code([same, same]), 0)
        self.assertEqual(comparison.exit_code([same, slower, noisy]), 1)
        self.assertEqual(comparison.exit_code([same, noisy]), 3)

    def test_rates_that_are_none_are_refused(self):
        for broken in ([], [Round(0.0, 1.0, 1.0, 1.0)], [Round(1.0, float("nan"), 1.0, 1.0)]):
            with self.assertRaises(ValueError):
                self.verdict(broken)


FAKE = """#!/bin/sh
[ "$1 $2 $3 $4" = "bench --json --rounds 1" ] || exit 9
shift 4
{extra}
echo '{{"results": [{{"kind": "decode", "rows": 1, "rows_per_second": {rate}}},
                 {{"kind": "prefill", "rows": 512, "rows_per_second": 900.0}}]}}'
"""


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def fake(self, name: str, rate: float, extra: str = "") -> str:
        path = Path(self.folder.name) / name
        path.write_text(FAKE.format(rate=rate, extra=extra), encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def regress(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-B", str(ROOT / "bench" / "regress"), "--rounds", "3", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    def test_equal_builds_pass_and_a_slower_one_fails(self):
        old, slow = self.fake("old", 100.0), self.fake("slow", 90.0)
        self.assertEqual(self.regress(old, old).returncode, 0)
        said = self.regress(old, slow)
        self.assertEqual(said.returncode, 1, said.stderr)
        self.assertRegex(said.stdout, r"decode 1 .*0\.900.*SLOWER")
        self.assertRegex(said.stdout, r"prefill 512 .*1\.000.*same")
        self.assertEqual(self.regress(slow, old).returncode, 0)

    def test_the_report_has_every_rate_in_the_order_of_the_runs(self):
        file = Path(self.folder.name) / "report.json"
        self.regress("--json", str(file), self.fake("old", 100.0), self.fake("new", 80.0))
        report = json.loads(file.read_text(encoding="utf-8"))
        self.assertEqual(report["exit_code"], 1)
        self.assertEqual(report["cases"][0]["rates"][0],
                         {"old_first": 100.0, "new_first": 80.0, "new_second": 80.0, "old_second": 100.0})

    def test_arguments_reach_the_benchmark(self):
        picky = self.fake("picky", 100.0, extra='[ "$*" = "--shape olmoe --layers 2" ] || exit 1')
        self.assertEqual(self.regress(picky, picky, "--", "--shape", "olmoe", "--layers", "2").returncode, 0)
        self.assertEqual(self.regress(picky, picky, "--", "--shape", "small").returncode, 2)

    def test_what_cannot_be_measured_says_why(self):
        old = self.fake("old", 100.0)
        broken = self.fake("broken", 100.0, extra="echo no such level >&2; exit 1")
        said = self.regress(old, broken)
        self.assertEqual(said.returncode, 2)
        self.assertIn("no such level", said.stderr)
        said = self.regress(old, "no-such-revision-of-anything")
        self.assertEqual(said.returncode, 2)
        self.assertIn("neither a guildhall binary nor a git revision", said.stderr)


if __name__ == "__main__":
    unittest.main()

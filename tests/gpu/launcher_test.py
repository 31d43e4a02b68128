"""What is packed for a machine with a device reports honestly: failures, limits in time, what was not reached."""

import json
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parent / "launcher"))

import phases  # noqa: E402
import run  # noqa: E402
from report import Report  # noqa: E402


class Launcher(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        (self.root / "bin").mkdir()
        self.machine = phases.Machine(self.root, self.root, quick=False)
        self.logged = []

    def program(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run_phase(self, phase: dict, seconds: float = 20) -> dict:
        return phases.run_phase(phase, self.machine, seconds, lambda command, result: self.logged.append(command))

    def test_facts_that_came_before_a_failure_are_kept(self):
        self.program("probe", """echo '{"name": "a", "value": 1, "unit": ""}'; echo gone >&2; exit 3""")
        result = self.run_phase({"kind": "facts", "command": ["probe"]})
        self.assertEqual((result["status"], len(result["facts"])), ("failed", 1))
        self.assertIn("exit code 3: gone", result["why"])

    def test_a_phase_ends_with_its_limit(self):
        self.program("probe", "sleep 60")
        result = self.run_phase({"kind": "facts", "command": ["probe"]}, seconds=1)
        self.assertEqual(result["status"], "failed")
        self.assertIn("no end within", result["why"])
        self.assertLess(result["seconds"], 10)

    # Two cases, one of which fails; the variables of tests are there.
    CASES = """
if [ "$1" = --list-test-names-only ]; then echo "good, to the bit"; echo "bad [case]"; exit 2; fi
grep -q bad "$2" && { echo oops >&2; exit 1; }
[ "$GUILDHALL_TEST_DEVICE" = cuda ]
"""

    def test_each_case_is_a_process_and_names_its_failure(self):
        self.program("cases", self.CASES)
        result = self.run_phase({"kind": "cases", "program": "cases", "case_seconds": 5})
        self.assertEqual((result["status"], result["passed"]), ("failed", 1))
        self.assertEqual(result["failed"][0]["name"], "bad [case]")
        self.assertEqual(len(self.logged), 1)

    def test_only_the_cases_that_a_quick_run_names(self):
        self.program("cases", self.CASES)
        self.machine.quick = True
        result = self.run_phase({"kind": "cases", "program": "cases", "case_seconds": 5, "quick": ["good"]})
        self.assertEqual((result["status"], result["passed"]), ("passed", 1))
        result = self.run_phase({"kind": "cases", "program": "cases", "case_seconds": 5, "quick": ["none"]})
        self.assertIn("no case", result["why"])

    def test_a_tool_that_the_machine_lacks_is_skipped(self):
        phase = {"kind": "cases", "program": "cases", "case_seconds": 5, "wrapper": ["no-such-tool"]}
        self.assertEqual(self.run_phase(phase)["status"], "skipped")

    def test_logits_other_than_the_emulations_fail_for_f32_only(self):
        self.program("score", 'while [ "$1" != --logits-dir ]; do shift; done; echo x >"$2/0.npy"')
        models = [{"name": name, "command": ["score"], "sha256": {"0.npy": "other"}} for name in ("a_bf16", "a_f32")]
        result = self.run_phase({"kind": "scores", "models": models})
        self.assertEqual((result["status"], result["different"]), ("failed", ["a_bf16", "a_f32"]))
        self.assertIn("a_f32", result["why"])
        self.assertEqual(self.run_phase({"kind": "scores", "models": models[:1]})["status"], "passed")

    def test_the_report_is_written_after_each_phase(self):
        (self.root / "out").mkdir()
        report = Report(self.root / "out", {"commit": "abc"}, "a device", quick=False)
        report.log(["x"], SimpleNamespace(output="o", errors="e", code=0, seconds=1.0))
        report.add("ops", {"status": "failed", "seconds": 1, "passed": 2, "failed": [{"name": "n|m", "why": "w"}]})
        self.assertFalse(report.good())
        self.assertEqual(json.loads((self.root / "out/report.json").read_text())["phases"]["ops"]["passed"], 2)
        self.assertIn("- failed: n|m: w", (self.root / "out/report.md").read_text())
        self.assertIn("2 cases passed; 1 failed", report.table())
        self.assertEqual(len(list((self.root / "out").iterdir())), 3)

    def test_files_that_are_not_the_plans_are_named(self):
        (self.root / "a").write_text("a")
        digest = run.digest(self.root / "a")
        self.assertEqual(run.wrong_files(self.root, {"a": digest}), [])
        self.assertEqual(run.wrong_files(self.root, {"a": "0", "b": digest}), ["a", "b"])


if __name__ == "__main__":
    unittest.main()

"""As house_test.py, for the rules that a tool checks: the compiler, clang-format, clang-tidy, git."""

import json
import subprocess
import unittest
from pathlib import Path
from unittest import mock

import format as format_rule
import headers_alone
import tidy
from tree import TreeTest

CLANG_TIDY = (Path(__file__).parents[2] / ".clang-tidy").read_text()

class HeadersAlone(TreeTest):
    def check(self, files: dict[str, str]):
        self.plant(files if (self.root / "base/a.cc").exists() else {"base/a.cc": "", **files})
        build = self.root / "build"
        build.mkdir(exist_ok=True)
        command = f"ccache g++ -I{self.root} -std=c++20 -O3 -Wall -Werror -o base/a.o -c {self.root}/base/a.cc"
        entry = {"directory": str(build), "command": command, "file": f"{self.root}/base/a.cc"}
        (build / "compile_commands.json").write_text(json.dumps([entry]))
        return headers_alone.check_headers(self.root, build)

    def test_a_header_that_forgot_an_include(self):
        problems, headers, _ = self.check(
            {"base/good.h": "#pragma once\n#include <string>\nstd::string F();\n", "base/bad.h": "#pragma once\nstd::string G();\n"}
        )
        self.assertEqual(headers, 2)
        self.assertEqual(len(problems), 1)
        self.assertIn("base/bad.h does not compile alone", problems[0])

    def test_a_header_without_a_guard(self):
        problems, _, _ = self.check({"base/twice.h": "struct S {};\n"})
        self.assertIn("redefinition", problems[0])

    def test_a_header_whose_folder_is_not_compiled(self):
        problems, _, _ = self.check({"engine/a.h": "#pragma once\n"})
        self.assertIn("engine/a.h: no source of its folder", problems[0])

    def test_a_header_that_its_source_includes_first_is_left_to_the_build(self):
        compiled = [self.check({"base/a.h": "#pragma once\n", "base/a.cc": text})[2] for text in (
            '#include <vector>\n#include "base/a.h"\n', '#include "base/a.h"\n#include <vector>\n')]
        self.assertEqual(compiled, [1, 0])

    def test_the_flags_of_a_folder_without_sources(self):
        flags = {"kernels/cpu": "cpu", "text": "text", ".": "main"}
        found = [headers_alone.nearest_flags(flags, name) for name in ("kernels/ops.h", "text/rust/x.h", "base/y.h")]
        self.assertEqual(found, ["cpu", "text", "main"])

    def test_a_warning_of_ours_is_an_error(self):
        problems, _, _ = self.check({"base/warns.h": "#pragma once\ninline bool F(int a, unsigned b) { return a < b; }\n"})
        self.assertIn("sign", problems[0])

    def test_only_what_changed_is_compiled_again(self):
        files = {"base/x.h": "#pragma once\n", "base/y.h": '#pragma once\n#include "base/x.h"\n', "base/z.h": "#pragma once\n"}
        self.assertEqual(self.check(files)[2], 3)
        self.assertEqual(self.check({})[2], 0)
        self.assertEqual(self.check({"base/x.h": "#pragma once\nbroken\n"})[2], 2)  # x.h and y.h, which includes it
        self.assertEqual(len(self.check({})[0]), 2)  # what failed is not remembered as good

    def test_flags_lose_what_belongs_to_one_file(self):
        command = "/usr/bin/ccache /usr/bin/g++ -DX=\\\"y\\\" -O2 -g -MD -MF d -o o -c /r/base/a.cc"
        flags = headers_alone.compile_flags({"command": command, "file": "/r/base/a.cc", "directory": "/r"})
        self.assertEqual(flags, ["/usr/bin/g++", '-DX="y"'])


class Format(TreeTest):
    def test_the_file_that_differs_is_named(self):
        self.plant({".clang-format": "BasedOnStyle: Google\n", "base/a.cc": "int  x;\n", "base/b.cc": "int x;\n"})
        program = format_rule.find_clang_format()
        self.assertEqual(format_rule.unformatted(self.root, ["base/a.cc", "base/b.cc"], program), ["base/a.cc"])

    def test_a_comment_beyond_the_last_column(self):
        lines = ["// " + "x" * 107, "int x;  // " + "x" * 100, "// " + "x" * 108, 'auto x = "http://' + "x" * 100 + '";']
        self.plant({"base/a.cc": "\n".join(lines) + "\n"})
        found = [problem.split(" ")[0] for problem in format_rule.long_comments(self.root, ["base/a.cc"])]
        self.assertEqual(found, ["base/a.cc:2:", "base/a.cc:3:"])

    def test_without_the_wanted_version_nothing_passes(self):
        self.plant({"base/a.cc": "int x;\n"})
        with mock.patch.object(format_rule, "find_clang_format", return_value=None):
            self.assertEqual(format_rule.check_tree(self.root, fix=False), 1)


class Tidy(TreeTest):
    def setUp(self):
        super().setUp()
        self.plant({".clang-tidy": CLANG_TIDY, ".gitignore": "build/\n"})

    def check(self, files: dict[str, str], asked: list[str]) -> tuple[list[str], int]:
        """Problems, and how many files were read."""
        self.plant(files)
        build = self.root / "build"
        build.mkdir(exist_ok=True)
        command = f"g++ -I{self.root} -Wall -Werror -include {build}/pch.hxx -o a.o -c {self.root}/base/a.cc"
        entry = {"directory": str(build), "command": command, "file": f"{self.root}/base/a.cc"}
        (build / "compile_commands.json").write_text(json.dumps([entry]))
        return tidy.check_files(self.root, build, tidy.to_read(self.root, asked), jobs=1)

    def test_a_finding_in_a_source(self):
        problems, read = self.check({"base/a.cc": "int* p = 0;\n"}, ["base/a.cc"])
        self.assertEqual((len(problems), read), (1, 1))
        self.assertIn("base/a.cc:1:10: error: use nullptr", problems[0])

    def test_a_finding_in_a_header_of_any_folder(self):
        files = {"base/a.cc": '#include "later/deep/b.h"\n', "later/deep/b.h": "#pragma once\ninline int* p = 0;\n"}
        for asked in ("base/a.cc", "later/deep/b.h"):
            with self.subTest(asked=asked):
                self.assertIn("later/deep/b.h:2:17: error: use nullptr", self.check(files, [asked])[0][0])

    def test_a_header_is_read_with_its_source(self):
        self.plant({"base/a.h": "", "base/a.cc": "", "base/b.h": "", "base/c.py": ""})
        asked = ["base/a.h", "base/b.h", "base/c.py", "base/gone.cc"]
        self.assertEqual(tidy.to_read(self.root, asked), ["base/a.cc", "base/b.h"])

    def test_headers_with_the_names_of_others_are_left_out(self):
        self.assertEqual(tidy.to_read(self.root, [f"{tidy.FOREIGN}emulated/a.h"]), [])
        files = {"emulated/a.h": "#pragma once\ninline int* p = 0;\n", "base/a.cc": '#include "emulated/a.h"\nint x;\n'}
        self.assertEqual(self.check(files, ["base/a.cc"])[0], [])

    def test_only_what_changed_is_read_again(self):
        files = {"base/a.h": "#pragma once\n", "base/a.cc": '#include "base/a.h"\nint x;\n'}
        self.assertEqual(self.check(files, ["base/a.cc"]), ([], 1))
        self.assertEqual(self.check({}, ["base/a.cc"]), ([], 0))
        self.assertEqual(self.check({"base/a.h": "#pragma once\nextern int x;\n"}, ["base/a.cc"]), ([], 1))
        self.assertEqual(self.check({".clang-tidy": CLANG_TIDY + "\n"}, ["base/a.cc"]), ([], 1))
        broken = {"base/a.cc": "int* p = 0;\n"}
        self.assertEqual([self.check(broken, ["base/a.cc"])[1] for _ in range(2)], [1, 1])  # not remembered as good

    def git(self, *arguments: str):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=self.root, check=True, capture_output=True)

    def test_what_differs_from_the_main_branch(self):
        self.plant({"base/a.cc": "", "base/b.cc": "", "base/c.cc": ""})
        self.git("init", "-q", "-b", "main")
        self.git("add", ".")
        self.git("commit", "-qm", "one")
        self.assertEqual(tidy.changed_files(self.root, None), [])
        self.git("checkout", "-qb", "other")
        self.plant({"base/a.cc": "int a;\n"})
        self.git("commit", "-qam", "two")
        self.plant({"base/b.cc": "int b;\n", "base/d.h": ""})
        (self.root / "base/c.cc").unlink()
        self.assertEqual(tidy.changed_files(self.root, None), ["base/a.cc", "base/b.cc", "base/d.h"])
        self.assertEqual(tidy.changed_files(self.root, "HEAD"), ["base/b.cc", "base/d.h"])

    def test_a_folder_that_git_does_not_know(self):
        with self.assertRaisesRegex(SystemExit, "git cannot compare"):
            tidy.changed_files(self.root, None)


if __name__ == "__main__":
    unittest.main(verbosity=2)

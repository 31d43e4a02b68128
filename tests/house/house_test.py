"""The house rules notice what they are there for: each is shown a small tree that breaks it."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

import file_sizes
import format as format_rule
import headers_alone
import include_ladder
import leftovers
import links
import scripts
from sources import own_files, read_includes, without_comments


class TreeTest(unittest.TestCase):
    """A folder with planted files."""

    def setUp(self):
        self.root = Path(tempfile.mkdtemp(prefix="house_test_")).resolve()
        self.addCleanup(shutil.rmtree, self.root)

    def plant(self, files: dict[str, str]):
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


class IncludeLadder(TreeTest):
    def problems(self, files: dict[str, str]) -> list[str]:
        self.plant({"base/check.h": "#pragma once\n", **files})
        return include_ladder.check_tree(self.root)

    def assert_one(self, files: dict[str, str], *words: str):
        problems = self.problems(files)
        self.assertEqual(len(problems), 1, problems)
        for word in words:
            self.assertIn(word, problems[0])

    def test_a_good_tree_has_no_problem(self):
        good = {
            "base/check.cc": '#include "base/check.h"\n#include <nlohmann/json.hpp>\n#include <spdlog/spdlog.h>\n',
            "kernels/ops.h": '#pragma once\n#include <vector>\n#include "base/check.h"\n',
            "kernels/cpu/rope.cc": '#include "hwy/highway.h"\n#include <immintrin.h>\n#include "kernels/ops.h"\n',
            "kernels/cuda/rope.cu": '#include <cuda_bf16.h>\n#include <cub/cub.cuh>\n#include "kernels/ops.h"\n',
            "weights/cuda_pages.cc": '#include <cuda.h>\n#include "base/check.h"\n',
            "engine/engine.h": '#pragma once\n#include "kernels/ops.h"\n',
            "server/call.h": '#pragma once\n#include "engine/engine.h"\n#include "guildhall/v1/inference.pb.h"\n',
            "server/grpc/service.h": '#pragma once\n#include <grpcpp/grpcpp.h>\n#include "server/call.h"\n',
            "server/grpc/service.cc": '#include "server/grpc/service.h"\n#include "guildhall/v1/inference.grpc.pb.h"\n',
            "commands/serve_command.cc": '#include "server/grpc/service.h"\n',
            "bench/bench.h": '#pragma once\n#include "engine/engine.h"\n',
            "commands/bench_command.cc": '#include <CLI/CLI.hpp>\n#include "bench/bench.h"\n',
            "main.cc": '#include <CLI/CLI.hpp>\n#include "commands/command.h"\n#include "server/call.h"\n',
            "commands/command.h": "#pragma once\n",
            "tests/server/service_test.cc": '#include <catch2/catch.hpp>\n#include <grpcpp/grpcpp.h>\n#include "bench/bench.h"\n',
        }
        self.assertEqual(self.problems(good), [])

    def test_an_upward_edge(self):
        self.assert_one(
            {"model/decoder.h": '#pragma once\n#include "engine/engine.h"\n', "engine/engine.h": "#pragma once\n"},
            "model/decoder.h:2", "engine/engine.h", "layer 5", "layer 6",
        )

    def test_an_edge_between_folders_of_one_layer(self):
        self.assert_one(
            {"text/a.cc": '#include "kernels/ops.h"\n', "kernels/ops.h": "#pragma once\n"}, "text/a.cc:1", "layer 1"
        )
        self.assertEqual(len(self.problems({"server/a.cc": '#include "client/b.h"\n', "client/b.h": "#pragma once\n"})), 2)

    def test_a_folder_without_a_layer(self):
        self.assert_one({"helpers/a.h": "#pragma once\n"}, "helpers", "table of layers")

    def test_an_include_of_tests(self):
        self.assert_one({"engine/a.cc": '#include "tests/b.h"\n', "tests/b.h": "#pragma once\n"}, "nothing outside tests/")

    def test_a_cycle_of_folders_at_the_top(self):
        problems = self.problems(
            {
                "bench/a.h": '#pragma once\n#include "commands/b.h"\n',
                "commands/b.h": "#pragma once\n",
                "commands/c.h": '#pragma once\n#include "bench/d.h"\n',
                "bench/d.h": "#pragma once\n",
            }
        )
        self.assertEqual(problems, ["a cycle of folders: bench -> commands -> bench"])

    def test_a_cycle_of_headers_in_one_folder(self):
        problems = self.problems(
            {
                "model/a.h": '#pragma once\n#include "model/b.h"\n',
                "model/b.h": '#pragma once\n#include "model/c.h"\n',
                "model/c.h": '#pragma once\n#include "model/a.h"\n',
            }
        )
        self.assertEqual(problems, ["a cycle of headers: model/a.h -> model/b.h -> model/c.h -> model/a.h"])

    def test_doors(self):
        for file, include, word in [
            ("engine/a.cc", "<grpcpp/grpcpp.h>", "gRPC"),
            ("server/a.cc", "<grpcpp/grpcpp.h>", "gRPC"),
            ("server/a.cc", '"guildhall/v1/inference.grpc.pb.h"', "gRPC"),
            ("commands/a.cc", '"guildhall/v1/inference.pb.h"', "protobuf"),
            ("main.cc", "<google/protobuf/any.pb.h>", "protobuf"),
            ("base/a.cc", '"google/rpc/status.pb.h"', "protobuf"),
            ("kernels/a.cc", "<cuda_runtime.h>", "CUDA"),
            ("weights/pages.cc", "<cuda.h>", "CUDA"),
            ("kernels/cpu/a.cc", "<cublas_v2.h>", "CUDA"),
            ("kernels/a.cc", '"hwy/highway.h"', "Highway"),
            ("model/a.cc", "<immintrin.h>", "Highway"),
            ("checkpoint/a.cc", "<nlohmann/json.hpp>", "nlohmann"),
            ("engine/a.cc", "<spdlog/spdlog.h>", "spdlog"),
            ("server/a.cc", "<CLI/CLI.hpp>", "CLI11"),
            ("client/a.cc", "<catch2/catch.hpp>", "Catch2"),
        ]:
            with self.subTest(file=file, include=include):
                self.setUp()
                self.assert_one({file: f"#include {include}\n"}, f"{file}:1", word)

    def test_the_server_does_not_know_its_grpc_front_end(self):
        self.assert_one(
            {"server/a.cc": '#include "server/grpc/b.h"\n', "server/grpc/b.h": "#pragma once\n"}, "gRPC front end"
        )

    def test_a_name_that_came_in_through_another_header(self):
        self.assert_one({"server/a.cc": "// grpc::Status\nint f();\ngrpc::Status g();\n"}, "server/a.cc:3", "grpc::")

    def test_the_rust_interface_is_private_to_text(self):
        self.assert_one(
            {"server/a.cc": '#include "text/rust/guildhall_text.h"\n', "text/rust/guildhall_text.h": "#pragma once\n"},
            "private to text/",
        )

    def test_back_ends_do_not_know_each_other(self):
        self.assert_one(
            {"kernels/cuda/a.cu": '#include "kernels/cpu/b.h"\n', "kernels/cpu/b.h": "#pragma once\n"}, "do not know"
        )

    def test_the_spelling_of_includes(self):
        self.assert_one({"engine/a.cc": '#include "b.h"\n', "engine/b.h": "#pragma once\n"}, "repository root")
        self.setUp()
        self.assert_one({"engine/a.cc": '#include "base/gone.h"\n'}, "no such file")
        self.setUp()
        self.assert_one({"engine/a.cc": "#include <base/check.h>\n"}, "quotes")
        self.setUp()
        self.assert_one({"engine/a.cc": '#include "base/b.cc"\n', "base/b.cc": ""}, "not a header")

    def test_the_own_header_comes_first(self):
        self.assert_one(
            {"engine/a.cc": '#include <vector>\n#include "engine/a.h"\n', "engine/a.h": "#pragma once\n"},
            "engine/a.cc:1", 'expected "engine/a.h"',
        )

    def test_a_header_without_a_guard(self):
        self.assert_one({"engine/a.h": "int x;\n"}, "engine/a.h", "#pragma once")

    def test_comments_and_strings_are_no_includes(self):
        text = '// #include "engine/a.h"\n/*\n#include "engine/a.h"\n*/\nauto s = R"(\n#include "engine/a.h"\n)";\n'
        self.plant({"base/a.cc": text + '#  include "base/check.h"  // "why"\nauto t = "//";\n'})
        self.assertEqual([(i.target, i.line) for i in read_includes(self.root, "base/a.cc")], [("base/check.h", 8)])
        self.assertEqual(without_comments(text).count("\n"), text.count("\n"))

    def test_build_folders_and_hidden_ones_are_not_ours(self):
        self.plant({"build/x/a.cc": "", ".cache/b.cc": "", "text/rust/target/c.h": "", "base/d.cc": ""})
        self.assertEqual(own_files(self.root), ["base/d.cc"])


@unittest.skipUnless(shutil.which("g++"), "no g++ here")
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


@unittest.skipUnless(format_rule.find_clang_format(), "no clang-format of the wanted version here")
class Format(TreeTest):
    def test_the_file_that_differs_is_named(self):
        self.plant({".clang-format": "BasedOnStyle: Google\n", "base/a.cc": "int  x;\n", "base/b.cc": "int x;\n"})
        program = format_rule.find_clang_format()
        self.assertEqual(format_rule.unformatted(self.root, ["base/a.cc", "base/b.cc"], program), ["base/a.cc"])


class FileSizes(TreeTest):
    def test_a_file_above_the_limit(self):
        self.plant({"base/a.cc": "\n" * 500, "base/b.cc": "\n" * 501, "scripts/c": "\n" * 600})
        problems = file_sizes.too_long(self.root)
        self.assertEqual([p.split(":")[0] for p in problems], ["base/b.cc", "scripts/c"])


class Leftovers(TreeTest):
    def problems(self, line: str, file: str = "base/a.cc") -> list[str]:
        self.plant({file: line})
        return leftovers.check_file(self.root, file)

    def test_what_is_left_over_is_found(self):
        for line, word in [
            ("// TO" + "DO: later\n", "note"),
            ("# FIX" + "ME\n", "note"),
            ('auto p = "/ho' + 'me/me/models";\n', "path"),
            ("cd /ro" + "ot/x\n", "path"),
            ("<" * 7 + " ours\n", "merge"),
            ("int x; \n", "white space"),
            ("\tint x;\n", "tab"),
            ("int x;\r\n", "carriage return"),
            ("int x;", "no line end"),
        ]:
            with self.subTest(line=line):
                problems = self.problems(line)
                self.assertTrue(problems and word in "\n".join(problems), problems)

    def test_what_is_ordinary_is_not(self):
        for line in ["auto x = a/home;\n", "./opt/x\n", "https://host/root/x\n", "$HOME/root/x\n", "// roots of method\n", "\n", ""]:
            with self.subTest(line=line):
                self.assertEqual(self.problems(line), [])

    def test_an_image_may_have_its_paths(self):
        line = "RUN --mount=type=cache,target=/ro" + "ot/.cargo true\n"
        self.assertEqual(self.problems(line, "docker/Dockerfile"), [])
        self.assertEqual(len(self.problems(line, "scripts/x.sh")), 1)


class Links(TreeTest):
    def test_a_link_to_nothing(self):
        self.plant({"docs/a.md": "# A\n\n[b](b.md) [c](../c.md#how-it-works) [web](https://x.org) [d](gone.md)\n",
                    "docs/b.md": "", "c.md": "# C\n## How it works\n"})
        self.assertEqual(links.check_page(self.root, "docs/a.md"), ["docs/a.md:3: links to gone.md: no such file"])

    def test_a_link_to_a_heading_that_is_gone(self):
        self.plant({"a.md": "[here](#one) [there](#two)\n# One\n```\n# Two\n```\n"})
        self.assertEqual(links.check_page(self.root, "a.md"), ["a.md:1: links to #two: no such heading"])

    def test_a_script_that_is_gone(self):
        self.plant({"a.md": "run `scripts/here` or `scripts/gone -x`\n", "scripts/here": ""})
        self.assertEqual(links.check_page(self.root, "a.md"), ["a.md:1: names scripts/gone: no such script"])


class Scripts(TreeTest):
    def test_what_keeps_a_script_from_running(self):
        self.plant({"scripts/a": "#!/usr/bin/env bash\nset -euo pipefail\necho\n", "scripts/b": "if true; then\n"})
        (self.root / "scripts/a").chmod(0o755)
        self.assertEqual(scripts.check_script(self.root, "scripts/a"), [])
        self.assertEqual(len(scripts.check_script(self.root, "scripts/b")), 4)


if __name__ == "__main__":
    unittest.main(verbosity=2)

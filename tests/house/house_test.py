"""The house rules notice what they are there for: each is shown a small tree that breaks it."""

import unittest

import dockerfiles
import file_sizes
import function_sizes
import image_context
import include_ladder
import leftovers
import links
import op_list
import scripts
from sources import own_files, read_includes, without_comments
from tree import TreeTest


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
            "kernels/cuda/page_memory.cc": '#include <cuda.h>\n#include "base/check.h"\n',
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


class FileSizes(TreeTest):
    def test_a_file_above_the_limit(self):
        self.plant({"base/a.cc": "\n" * 400, "base/b.cc": "\n" * 401, "scripts/c": "\n" * 600})
        problems = file_sizes.too_long(self.root)
        self.assertEqual([p.split(":")[0] for p in problems], ["base/b.cc", "scripts/c"])

    def test_a_tree_of_large_files(self):
        self.plant({"base/a.cc": "\n" * 90, "base/b.cc": "\n" * 91, "base/c.cc": "\n" * 89, "scripts/d": "\n" * 300})
        self.assertEqual(file_sizes.median_too_long(self.root), [])
        self.plant({"base/c.cc": "\n" * 92})
        self.assertIn("3 C++ sources have more than 91 lines", file_sizes.median_too_long(self.root)[0])


class OpList(TreeTest):
    GOOD = {
        "kernels/op_list.h": "#define GH_FOR_EACH_OP(OP) \\\n  OP(Rope, rope)\n",
        "kernels/ops.h": "struct RopeArgs {\n};\n",
        "kernels/op_cost.cc": "OpCost CostOf(const RopeArgs& args) {\n}\n",
        "kernels/backend.h": "GH_FOR_EACH_OP(GH_DECLARE)\n",
        "kernels/cpu/rope.cc": "void RopeOp(const RopeArgs& args, CpuContext& context) {\n}\n",
        "tests/kernels/rope_test.cc": "backend->Rope({});\n",
    }

    def problems(self, files: dict[str, str]) -> list[str]:
        self.plant(self.GOOD | files)
        return op_list.check(self.root)[0]

    def test_an_op_that_is_whole(self):
        self.assertEqual(self.problems({}), [])

    def test_what_an_op_may_lack(self):
        for file, text in (("kernels/ops.h", ""), ("kernels/op_cost.cc", ""), ("kernels/cpu/rope.cc", ""),
                           ("tests/kernels/rope_test.cc", "")):
            self.assertEqual(len(self.problems({file: text})), 1, file)

    def test_a_second_place_that_names_an_op(self):
        self.assertIn("names Rope", self.problems({"kernels/backend.h": "void Rope(const RopeArgs& args);\n"})[0])
        self.assertIn("2 sources", self.problems({"kernels/cpu/other.cc": self.GOOD["kernels/cpu/rope.cc"]})[0])


class ImageContext(TreeTest):
    def test_a_folder_that_the_image_lacks(self):
        self.plant({"CMakeLists.txt": "add_subdirectory(base)  # 0\nif(X)\n  add_subdirectory(tests)\nendif()\n",
                    ".dockerignore": "*\n!base\n"})
        self.assertEqual(image_context.check(self.root), [])
        self.plant({".dockerignore": "*\n!bases\n"})
        self.assertIn("no line !base,", image_context.check(self.root)[0])


class Dockerfiles(TreeTest):
    GOOD = """FROM docker.io/library/debian:bookworm-slim AS build
RUN scripts/setup build
FROM docker.io/library/debian:bookworm-slim
RUN apt-get update \\
    && apt-get install -y --no-install-recommends libgrpc++1.51 libspdlog1.10 && rm -rf /var/lib/apt/lists/*
EXPOSE 50051
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK CMD ["guildhall", "healthcheck"]
ENTRYPOINT ["guildhall"]
"""

    def problems(self, *texts: str) -> list[str]:
        self.plant({f"docker/Dockerfile{i or ''}": text for i, text in enumerate(texts)})
        return dockerfiles.check(self.root)[0]

    def test_good_files(self):
        self.assertEqual(self.problems(self.GOOD, self.GOOD), [])

    def test_what_a_file_may_not_do(self):
        for found, made, word in [
            ("debian:bookworm-slim\nRUN", "debian:latest\nRUN", "a tag"),
            (" --no-install-recommends", "", "--no-install-recommends"),
            ('["guildhall"]', "guildhall", "JSON list"),
            ("USER 10001:10001\n", "", "no USER"),
        ]:
            with self.subTest(word=word):
                self.assertIn(word, self.problems(self.GOOD.replace(found, made))[0])

    def test_two_files_with_different_packages(self):
        self.assertIn("its packages are", self.problems(self.GOOD, self.GOOD.replace(" libspdlog1.10", ""))[0])


class FunctionSizes(TreeTest):
    def functions(self, text: str, file: str = "base/a.cc") -> list[tuple[str, int, int]]:
        functions, whole = function_sizes.read_functions(file, text)
        self.assertTrue(whole)
        return [(f.name, f.line, f.lines) for f in functions]

    def test_a_function_above_the_limit(self):
        long, longest = ("void %s() {\n" + "  f();\n" * lines + "}\n" for lines in (59, 58))
        self.plant({"base/a.cc": "namespace x {\n" + long % "Long" + longest % "Longest" + "}\n", "tests/b.cc": long % "Test"})
        problems, count = function_sizes.too_long(self.root)
        self.assertEqual((len(problems), count), (1, 2))
        self.assertIn("base/a.cc:2: Long has 61 lines", problems[0])

    def test_what_a_function_is(self):
        for text, expected in [
            ("int F(int a,\n      int b) {\n  return a;\n}\n", [("F", 1, 4)]),
            ("class A : public B {\n public:\n  A() : b_{1}, c_(2) {}\n\n private:\n  int D() const {\n  }\n};\n",
             [("A", 3, 1), ("D", 6, 2)]),
            ("std::function<void(int)> x::F(O o = {}) {\n  if (o) {\n  }\n  auto g = [&] {\n  };\n}\n", [("x::F", 1, 6)]),
            ("bool A::operator==(const A& a) const {\n}\n", [("A::operator==", 1, 2)]),
            ("constexpr int kTable[] = {\n    F(1),\n};\nint b{3};\nauto c = F({1,\n2});\n", []),
            ("struct alignas(64) A {\n  int a = 0;\n};\nenum class B : int { kC };\n", []),
            ("template <class T>\nvoid F(T t) {\n}\n", [("F", 1, 3)]),
            ("#define F(a) \\\n  { a\nvoid G() { f('{', \"{\", 1'000); /* { */ }  // {\n", [("G", 3, 1)]),
        ]:
            with self.subTest(text=text):
                self.assertEqual(self.functions(text), expected)

    def test_what_a_function_is_in_rust(self):
        text = "#[derive(X)]\nstruct A { b: u8 }\nimpl<'a> A {\n    fn c(&self) -> char {\n        '{'\n    }\n}\n"
        self.assertEqual(self.functions(text, "text/rust/src/a.rs"), [("c", 4, 3)])

    def test_a_file_that_cannot_be_counted(self):
        self.plant({"base/a.cc": "#if A\nvoid F() {\n#else\nvoid F(int) {\n#endif\n}\n"})
        self.assertIn("braces do not find each other", function_sizes.too_long(self.root)[0][0])


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

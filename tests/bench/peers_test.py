"""bench/peers: the files that they write, read again by a parser of its own; drivers with programs that are made up."""

import json
import math
import stat
import struct
import subprocess
import sys
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

ROOT = Path(sys.argv.pop(1)).resolve()
PEERS = ROOT / "bench" / "peers"
sys.dont_write_bytecode = True
sys.path.insert(0, str(PEERS))
import gguf  # noqa: E402
import routing  # noqa: E402
import side_by_side  # noqa: E402


def driver_module(name: str):
    loader = SourceFileLoader(name, str(PEERS / name))
    module = module_from_spec(spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


llama_cpp, vllm_cpu = driver_module("llama_cpp"), driver_module("vllm_cpu")

SHAPE = {"family": "olmoe", "layers": 2, "hidden": 64, "vocabulary": 96, "max_positions": 128, "norm_eps": 1e-5,
         "heads": 2, "kv_heads": 1, "head_dim": 32, "experts": 4, "experts_per_token": 2, "expert_width": 32,
         "normalize": False}


class Parsed:
    """A GGUF file as its specification says it is: magic, version, counts, keys, tensors, aligned data."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 4
        assert data[:4] == b"GGUF", data[:4]
        self.version = self.take("<I")
        tensors, keys = self.take("<Q"), self.take("<Q")
        self.keys = dict(self.key() for _ in range(keys))
        self.tensors = {name: rest for name, *rest in (self.tensor() for _ in range(tensors))}
        self.begin = (self.at + 31) // 32 * 32

    def take(self, what: str):
        value = struct.unpack_from(what, self.data, self.at)[0]
        self.at += struct.calcsize(what)
        return value

    def text(self) -> str:
        size = self.take("<Q")
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def key(self):
        name, kind = self.text(), self.take("<I")
        return name, {4: lambda: self.take("<I"), 6: lambda: self.take("<f"), 8: self.text}[kind]()

    def tensor(self):
        name, dimensions = self.text(), self.take("<I")
        shape = [self.take("<Q") for _ in range(dimensions)]
        return name, shape, self.take("<I"), self.take("<Q")

    def numbers(self, name: str) -> list[float]:
        """A tensor's values, dequantized."""
        shape, kind, offset = self.tensors[name]
        count, at, values = math.prod(shape), self.begin + offset, []
        if kind == 0:
            return list(struct.unpack_from(f"<{count}f", self.data, at))
        if kind == 30:
            return [struct.unpack("<f", b"\0\0" + self.data[at + 2 * i : at + 2 * i + 2])[0] for i in range(count)]
        for _ in range(count // 32):
            scale = struct.unpack_from("<e", self.data, at)[0]
            if kind == 8:
                values += [scale * q for q in struct.unpack_from("<32b", self.data, at + 2)]
                at += 34
            else:
                packed = self.data[at + 2 : at + 18]
                values += [scale * ((b & 15) - 8) for b in packed] + [scale * ((b >> 4) - 8) for b in packed]
                at += 18
        return values


class Files(unittest.TestCase):
    def written(self, weights: str, family: str = "olmoe", shape: dict = SHAPE) -> Parsed:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            size = gguf.write_model(path, shape, weights, family)
            self.assertEqual(size, gguf.model_bytes(shape, weights, family))
            data = path.read_bytes()
            self.assertEqual([p.name for p in Path(folder).iterdir()], ["model.gguf"])
        self.assertEqual(size, len(data))
        return Parsed(data)

    def test_keys_and_shapes(self):
        model = self.written("q8_0")
        self.assertEqual(model.version, 3)
        self.assertEqual(model.keys["general.architecture"], "olmoe")
        self.assertEqual(model.keys["olmoe.vocab_size"], 96)
        self.assertEqual(model.keys["olmoe.expert_used_count"], 2)
        self.assertEqual(model.keys["tokenizer.ggml.model"], "no_vocab")
        self.assertAlmostEqual(model.keys["olmoe.attention.layer_norm_rms_epsilon"], 1e-5)
        self.assertEqual(len(model.tensors), 3 + 2 * 12)
        self.assertEqual(model.tensors["blk.1.ffn_down_exps.weight"][:2], [[32, 64, 4], 8])
        self.assertEqual(model.tensors["blk.0.attn_k.weight"][:2], [[64, 32], 8])
        self.assertEqual(model.tensors["blk.0.ffn_gate_inp.weight"][:2], [[64, 4], 0])

    def test_the_family_that_both_peers_know(self):
        model = self.written("q8_0", "qwen3moe")
        self.assertEqual(model.keys["general.architecture"], "qwen3moe")
        self.assertEqual(model.keys["qwen3moe.expert_feed_forward_length"], 32)
        self.assertEqual((model.keys["qwen3moe.attention.key_length"], model.keys["qwen3moe.attention.value_length"]), (32, 32))
        self.assertEqual(len(model.tensors), 3 + 2 * 12)
        self.assertEqual(model.tensors["blk.0.attn_q_norm.weight"][0], [32])
        self.assertEqual(model.tensors["blk.0.attn_k_norm.weight"][0], [32])

    def test_no_row_comes_again(self):
        # More rows than a repeated mebibyte of bf16 has.
        model = self.written("bf16", shape=SHAPE | {"hidden": 1024, "vocabulary": 600, "layers": 1})
        numbers = model.numbers("token_embd.weight")
        self.assertEqual(len({tuple(numbers[at : at + 32]) for at in range(0, len(numbers), 1024)}), 600)
        router = model.numbers("blk.0.ffn_gate_inp.weight")
        self.assertEqual(len({tuple(router[at : at + 32]) for at in range(0, len(router), 1024)}), 4)

    def test_every_tensor_lies_inside_the_file_at_an_aligned_place_of_its_own(self):
        for weights, block in (("bf16", 2.0), ("q8_0", 34 / 32), ("q4_0", 18 / 32)):
            model, end = self.written(weights), 0
            for shape, kind, offset in model.tensors.values():
                self.assertEqual(offset % 32, 0)
                self.assertEqual(offset, (end + 31) // 32 * 32)
                end = offset + int(math.prod(shape) * (4 if kind == 0 else block))
            self.assertEqual(len(model.data), model.begin + (end + 31) // 32 * 32)

    def test_weights_are_small_random_numbers_of_both_signs_and_norms_are_ones(self):
        for weights in ("bf16", "q8_0", "q4_0"):
            model = self.written(weights)
            self.assertEqual(set(model.numbers("blk.0.attn_norm.weight")), {1.0})
            values = model.numbers("blk.1.ffn_up_exps.weight")
            self.assertEqual(len(values), 64 * 32 * 4)
            self.assertTrue(all(math.isfinite(v) and abs(v) < 0.05 for v in values), weights)
            deviation = math.sqrt(sum(v * v for v in values) / len(values))
            self.assertTrue(0.005 < deviation < 0.04, (weights, deviation))
            self.assertLess(abs(sum(values) / len(values)), 0.1 * deviation, weights)
            loud = model.numbers("token_embd.weight")
            self.assertGreater(math.sqrt(sum(v * v for v in loud) / len(loud)), 1000 * deviation)

    def test_what_cannot_be_written_is_refused(self):
        with self.assertRaisesRegex(ValueError, "blocks of 32, its rows have 40"):
            gguf.tensor_bytes(gguf.Tensor("x", (40, 2), "q4_0"))
        with self.assertRaisesRegex(ValueError, "olmoe family"):
            gguf.write_model(Path("never.gguf"), SHAPE | {"family": "deepseek_v2"}, "bf16", "olmoe")


class Routing(unittest.TestCase):
    SHAPE = SHAPE | {"hidden": 256, "vocabulary": 1024, "experts": 32, "experts_per_token": 4, "layers": 2}

    def distinct(self, weights: str, family: str) -> routing.Experts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            gguf.write_model(path, self.SHAPE, weights, family)
            return routing.distinct_experts(path, self.SHAPE, weights, family, [1, 4, 16], 512)

    def test_batches_touch_as_many_experts_as_uniform_routing_does(self):
        uniform = {f"decode {n}": 32 * (1 - (1 - 4 / 32) ** n) for n in (1, 4, 16)} | {"prefill 512": 32.0}
        for weights in ("bf16", "q8_0", "q4_0"):
            for family in gguf.FAMILIES:
                self.assertEqual(routing.differences(self.distinct(weights, family), uniform), [], (weights, family))

    def test_values_are_read_as_they_were_written(self):
        for weights in ("bf16", "q8_0", "q4_0"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.gguf"
                gguf.write_model(path, SHAPE, weights, "olmoe")
                parsed = Parsed(path.read_bytes())
                with path.open("rb") as file:
                    row = routing.Model(file, SHAPE, weights, "olmoe").row("blk.1.attn_q.weight", 5)
            # The order inside a block is of no matter to a product of two rows of one format, but must be one and the same.
            self.assertEqual(row, parsed.numbers("blk.1.attn_q.weight")[5 * 64 : 6 * 64])

    def test_five_percent_are_the_same_work_and_more_are_not(self):
        mine = {"decode 1": 8.0, "decode 16": 56.0}
        self.assertEqual(routing.differences({"decode 1": 8.0, "decode 16": 58.0}, mine), [])
        self.assertEqual(routing.differences({"decode 1": 8.0, "decode 16": 16.0}, mine),
                         ["decode 16: 16.0 and 56.0 experts a layer"])
        with self.assertRaisesRegex(side_by_side.Failure, "do not touch as many experts(.|\n)*decode 16: 16.0 and 56.0"):
            side_by_side.check_same_work({"decode 16": 16.0}, mine)


def script(path: Path, text: str) -> None:
    path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class Drivers(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.folder = Path(held.name)
        shapes = json.dumps({"small": SHAPE, "olmoe": SHAPE})
        self.ours = self.folder / "guildhall"
        self.say(self.ours, shapes, (2.0, 3.75, 4.0))

    def say(self, binary: Path, shapes: str, experts: tuple[float, float, float]) -> None:
        rates = (("decode", 1, 30.0), ("decode", 4, 60.0), ("prefill", 128, 500.0))
        results = json.dumps({"results": [{"kind": kind, "rows": rows, "rows_per_second": rate, "experts_per_layer": distinct}
                                          for (kind, rows, rate), distinct in zip(rates, experts)]})
        script(binary, f"if [ $2 = shapes ]; then echo '{shapes}'; else echo '{results}'; fi\n")

    def peer_programs(self) -> None:
        """A peer that answers, the one of batches holding the name of the function that draws tokens."""
        bench = json.dumps([{"n_prompt": 128, "n_gen": 0, "avg_ts": 250.0}])
        lines = "\\n".join(json.dumps({"pl": n, "speed_tg": speed}) for n, speed in ((1, 15.0), (4, 20.0)))
        script(self.folder / "llama-bench", f"test -s $2 || exit 1\necho '{bench}'\n")
        script(self.folder / "llama-batched-bench", f"echo main: loaded\nprintf '{lines}\\n'\nexit 0\n\0rand\0")

    def drive(self, driver: str, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-B", str(PEERS / driver), *arguments], capture_output=True, text=True)

    def test_llama_cpp_side_by_side(self):
        self.peer_programs()
        said = self.drive("llama_cpp", "--bin", str(self.folder), "--guildhall", str(self.ours), "--shape", "small",
                          "--weights", "q4_0", "--decode", "1,4", "--prefill", "128", "--rounds", "2",
                          "--models", str(self.folder / "models"), "--json", str(self.folder / "out.json"))
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertRegex(said.stdout, r"decode 1 +15\.0 +30\.0 +2\.00")
        self.assertRegex(said.stdout, r"decode 4 +20\.0 +60\.0 +3\.00")
        self.assertRegex(said.stdout, r"prefill 128 +250\.0 +500\.0 +2\.00")
        written = json.loads((self.folder / "out.json").read_text(encoding="utf-8"))
        self.assertEqual(len(written["peer_rounds"]), 2)
        self.assertRegex(said.stdout, r"distinct experts .*decode 1 2\.0 and 2\.0; decode 4 3\.\d and 3\.8; prefill 128 4\.0 and 4\.0")
        self.assertTrue((self.folder / "models" / "small-olmoe-2-q4_0-drawn.gguf").exists())

    def test_batches_of_one_token_are_refused_with_the_cure(self):
        self.peer_programs()
        batched = self.folder / "llama-batched-bench"
        batched.write_bytes(batched.read_bytes().replace(b"rand", b"none"))
        arguments = ["--bin", str(self.folder), "--guildhall", str(self.ours), "--shape", "small", "--weights", "q4_0",
                     "--prefill", "128", "--rounds", "1", "--models", str(self.folder / "m")]
        said = self.drive("llama_cpp", *arguments, "--decode", "1,4")
        self.assertEqual(said.returncode, 2)
        self.assertRegex(said.stderr, r"same token(.|\n)*std::rand\(\) % n_vocab")
        # One sequence alone is the same work.
        self.assertEqual(self.drive("llama_cpp", *arguments, "--decode", "1").returncode, 0)

    def test_batches_that_touch_fewer_experts_are_no_comparison(self):
        self.peer_programs()
        self.say(self.ours, json.dumps({"small": SHAPE}), (2.0, 2.0, 4.0))
        said = self.drive("llama_cpp", "--bin", str(self.folder), "--guildhall", str(self.ours), "--shape", "small",
                          "--weights", "bf16", "--decode", "1,4", "--prefill", "128", "--rounds", "1",
                          "--models", str(self.folder / "m"))
        self.assertEqual(said.returncode, 2)
        self.assertRegex(said.stderr, r"do not touch as many experts(.|\n)*decode 4: 3\.\d and 2\.0")

    def test_a_table_is_read_where_there_are_no_lines_of_json(self):
        table = ("|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |\n"
                 "|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|\n"
                 "|    64 |     32 |    1 |     96 |    1.000 |    64.00 |    2.000 |    16.00 |    3.000 |    32.00 |\n"
                 "|    64 |     32 |    4 |    384 |    4.000 |    64.00 |    4.000 |    32.50 |    8.000 |    48.00 |\n")
        self.assertEqual(llama_cpp.parse_batched(table, [1, 4]), {"decode 1": 16.0, "decode 4": 32.5})

    def test_the_commands_of_a_repacking_peer(self):
        options = llama_cpp.parse(["--bin", ".", "--repack", "--decode", "1,32", "--threads", "2"])
        bench, batched = llama_cpp.commands(options, (Path("a"), Path("b")), Path("m.gguf"))
        self.assertEqual(bench[bench.index("-rtr") + 1], "1")
        self.assertIn("-rtr", batched)
        self.assertEqual(batched[batched.index("-npl") + 1], "1,32")
        self.assertEqual(batched[batched.index("-c") + 1], str(32 * 96))

    def test_an_absent_peer_is_named_with_what_to_do(self):
        said = self.drive("llama_cpp", "--bin", str(self.folder), "--guildhall", str(self.ours))
        self.assertEqual(said.returncode, 2)
        self.assertRegex(said.stderr, r"found no llama-bench there(.|\n)*cmake --build build --target llama-bench")
        said = self.drive("vllm_cpu", "--python", str(self.folder / "no-python"), "--guildhall", str(self.ours))
        self.assertEqual(said.returncode, 2)
        self.assertRegex(said.stderr, r"cannot import vllm(.|\n)*Install vLLM's CPU build")

    def test_our_own_binary_is_missed_by_name(self):
        for name in ("llama-bench", "llama-batched-bench"):
            script(self.folder / name, "exit 1\n")
        said = self.drive("llama_cpp", "--bin", str(self.folder), "--guildhall", str(self.folder / "nothing"))
        self.assertEqual(said.returncode, 2)
        self.assertIn("ninja -C build/release guildhall", said.stderr)

    def test_a_peer_that_fails_or_says_something_else(self):
        script(self.folder / "llama-bench", "echo '[]'\n")
        script(self.folder / "llama-batched-bench", "echo cannot load >&2; exit 3\n\0rand\0")
        arguments = ["--bin", str(self.folder), "--guildhall", str(self.ours), "--models", str(self.folder / "m")]
        said = self.drive("llama_cpp", *arguments)
        self.assertEqual(said.returncode, 2)
        self.assertIn("exit code 3\ncannot load", said.stderr)
        with self.assertRaisesRegex(Exception, "decode 8 missing"):
            llama_cpp.parse_batched('{"pl": 4, "speed_tg": 1.0}\n', [4, 8])

    def test_vllm_side_by_side(self):
        rates = json.dumps({"decode 1": 10.0, "decode 4": 20.0, "prefill 128": 100.0})
        # The interpreter of the peer: it imports anything, and runs the program into these rates.
        script(self.folder / "python", f"[ \"$2\" = 'import vllm' ] && exit 0\ntest -s $3/config.json || exit 1\n"
                                       f"echo noise\necho '{vllm_cpu.MARK}{rates}'\n")
        said = self.drive("vllm_cpu", "--python", str(self.folder / "python"), "--guildhall", str(self.ours),
                          "--decode", "1,4", "--prefill", "128", "--rounds", "1")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertRegex(said.stdout, r"decode 4 +20\.0 +60\.0 +3\.00")
        compile(vllm_cpu.PROGRAM, "program", "exec")

    def test_arguments_are_checked(self):
        for bad in (["--decode", "1,x"], ["--decode", "0"], ["--weights", "q2_k"], ["--shape", "mixtral"]):
            said = self.drive("llama_cpp", "--bin", ".", *bad)
            self.assertEqual(said.returncode, 2)
            self.assertIn("error: argument " + bad[0], said.stderr)


if __name__ == "__main__":
    unittest.main()

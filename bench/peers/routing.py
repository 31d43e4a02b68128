"""How many experts the batches of a written model touch: its routers on its embeddings, counted. Standard library only."""

import random
import struct
from operator import mul
from pathlib import Path
from statistics import fmean
from typing import BinaryIO

import gguf

LAYERS = 2  # that are looked at
BATCHES = 200  # drawn for each size
TOLERANCE = 0.05  # of the other side's count

Experts = dict[str, float]  # distinct experts of a layer and step, by case ("decode 4", "prefill 512")


def values(data: bytes, block_type: str) -> list[float]:
    """Whole blocks, dequantized."""
    block = gguf.TYPES[block_type]
    if block_type == "f32":
        return list(struct.unpack(f"<{len(data) // 4}f", data))
    if block_type == "bf16":
        wide = bytearray(2 * len(data))
        wide[2::4], wide[3::4] = data[0::2], data[1::2]
        return list(struct.unpack(f"<{len(data) // 2}f", wide))
    numbers: list[float] = []
    for at in range(0, len(data), block.bytes):
        scale = struct.unpack_from("<e", data, at)[0]
        codes = data[at + 2 : at + block.bytes]
        if block_type == "q8_0":
            numbers += [scale * code for code in struct.unpack("<32b", codes)]
        else:
            numbers += [scale * ((byte & 15) - 8) for byte in codes] + [scale * ((byte >> 4) - 8) for byte in codes]
    return numbers


class Model:
    """The rows of a file that gguf.write_model wrote."""

    def __init__(self, file: BinaryIO, shape: dict, weights: str, family: str):
        self.file = file
        tensors = gguf.model_tensors(shape, weights, family)
        self.at: dict[str, tuple[int, gguf.Tensor]] = {}
        offset = len(gguf.header(gguf.model_keys(shape, weights, family), tensors))
        for tensor in tensors:
            self.at[tensor.name] = (offset, tensor)
            offset += gguf.padded(gguf.tensor_bytes(tensor))

    def row(self, name: str, row: int) -> list[float]:
        offset, tensor = self.at[name]
        block = gguf.TYPES[tensor.type]
        size = tensor.shape[0] // block.values * block.bytes
        self.file.seek(offset + row * size)
        return values(self.file.read(size), tensor.type)


def choices(model: Model, shape: dict, tokens: list[int]) -> list[list[frozenset[int]]]:
    """For some layers and each token its experts. A token's embedding is what its row is in every layer (gguf.LOUD);
    a norm changes the size of all its logits alike."""
    embeddings = [model.row("token_embd.weight", token) for token in tokens]
    chosen = []
    for layer in range(min(LAYERS, shape["layers"])):
        router = [model.row(f"blk.{layer}.ffn_gate_inp.weight", expert) for expert in range(shape["experts"])]
        of_layer = []
        for x in embeddings:
            logits = [sum(map(mul, x, w)) for w in router]
            order = sorted(range(len(logits)), key=logits.__getitem__, reverse=True)
            of_layer.append(frozenset(order[: shape["experts_per_token"]]))
        chosen.append(of_layer)
    return chosen


def distinct_experts(path: Path, shape: dict, weights: str, family: str, decode: list[int], prefill: int) -> Experts:
    """Of batches of random tokens."""
    draw = random.Random(5)
    # A prefill has so many rows that more than these choose all experts or no other ones.
    tokens = draw.sample(range(shape["vocabulary"]), min(shape["vocabulary"], max(96, 2 * max(decode))))
    with path.open("rb") as file:
        chosen = choices(Model(file, shape, weights, family), shape, tokens)

    def mean(rows: int) -> float:
        rows = min(rows, len(tokens))
        counts = []
        for _ in range(BATCHES):
            batch = draw.sample(range(len(tokens)), rows)
            counts += [len(frozenset().union(*(layer[i] for i in batch))) for layer in chosen]
        return fmean(counts)

    return {f"decode {n}": mean(n) for n in decode} | {f"prefill {prefill}": mean(prefill)}


def differences(theirs: Experts, mine: Experts) -> list[str]:
    """What is not the same work on both sides, a line each."""
    return [f"{case}: {theirs[case]:.1f} and {mine[case]:.1f} experts a layer"
            for case in mine if case in theirs and abs(theirs[case] / mine[case] - 1.0) > TOLERANCE]

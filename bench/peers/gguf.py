"""Writes GGUF files (version 3, little-endian) of random weights in a given shape. Standard library only."""

import os
import random
import struct
from pathlib import Path
from typing import BinaryIO, Iterator, NamedTuple

ALIGNMENT = 32
NOISE_BYTES = 1 << 20  # of random bytes, which are written again and again

# Codes of the file format.
UINT32, FLOAT32, STRING = 4, 6, 8


class BlockType(NamedTuple):
    """How a tensor's numbers are stored: `values` neighbours take `bytes`."""

    code: int
    file_type: int  # general.file_type of a model that is mostly of this type
    values: int
    bytes: int
    scale_at: int  # where a block's 16-bit scale stands; -1: none


TYPES = {
    "f32": BlockType(0, 0, 1, 4, -1),
    "bf16": BlockType(30, 32, 1, 2, -1),
    "q8_0": BlockType(8, 7, 32, 34, 0),
    "q4_0": BlockType(2, 2, 32, 18, 0),
}


class Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]  # the fastest dimension first, as the format has it
    type: str
    ones: bool = False  # norms are ones, all else is noise


def tensor_bytes(tensor: Tensor) -> int:
    block = TYPES[tensor.type]
    if tensor.shape[0] % block.values:
        raise ValueError(f"{tensor.name}: {tensor.type} holds blocks of {block.values}, its rows have {tensor.shape[0]}")
    count = 1
    for size in tensor.shape:
        count *= size
    return count // block.values * block.bytes


def half(value: float) -> bytes:
    return struct.pack("<e", value)


def noise(block_type: str, seed: int) -> bytes:
    """Whole blocks of small random numbers of both signs."""
    source = random.Random(seed)
    block = TYPES[block_type]
    if block_type == "bf16":
        # The upper half of floats of both signs between 1/128 and 1/32.
        return b"".join(struct.pack("<H", source.choice((0x3C00, 0xBC00)) | source.randrange(0x100))
                        for _ in range(NOISE_BYTES // 2))
    if block_type == "f32":
        return b"".join(struct.pack("<f", source.uniform(-0.03, 0.03)) for _ in range(NOISE_BYTES // 4))
    data = bytearray(source.randbytes(NOISE_BYTES // block.bytes * block.bytes))
    scale = half(0.0003 if block_type == "q8_0" else 0.004)
    for at in range(block.scale_at, len(data), block.bytes):
        data[at : at + 2] = scale
    return bytes(data)


def string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key: str, value: int | float | str) -> bytes:
    """One key of the header: whole numbers as UINT32."""
    if isinstance(value, str):
        return string(key) + struct.pack("<I", STRING) + string(value)
    if isinstance(value, float):
        return string(key) + struct.pack("<If", FLOAT32, value)
    return string(key) + struct.pack("<II", UINT32, value)


def header(keys: dict[str, int | float | str], tensors: list[Tensor]) -> bytes:
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(keys))]
    parts += [entry(key, value) for key, value in keys.items()]
    offset = 0
    for tensor in tensors:
        parts.append(string(tensor.name) + struct.pack("<I", len(tensor.shape)))
        parts.append(struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape))
        parts.append(struct.pack("<IQ", TYPES[tensor.type].code, offset))
        offset += padded(tensor_bytes(tensor))
    data = b"".join(parts)
    return data + bytes(padded(len(data)) - len(data))


def padded(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def pieces(tensor: Tensor, kept: dict[str, bytes]) -> Iterator[bytes]:
    size = tensor_bytes(tensor)
    if tensor.ones:
        yield struct.pack("<f", 1.0) * (size // 4)
    else:
        if tensor.type not in kept:
            kept[tensor.type] = noise(tensor.type, 1)
        data = kept[tensor.type]
        # Each tensor begins elsewhere in the noise, at a whole block.
        block = TYPES[tensor.type].bytes
        start = sum(tensor.name.encode()) * 7919 % (len(data) // block) * block
        left = size
        while left > 0:
            piece = data[start : start + left]
            yield piece
            left -= len(piece)
            start = 0
    yield bytes(padded(size) - size)


def write(file: BinaryIO, keys: dict[str, int | float | str], tensors: list[Tensor]) -> None:
    file.write(header(keys, tensors))
    kept: dict[str, bytes] = {}
    for tensor in tensors:
        for piece in pieces(tensor, kept):
            file.write(piece)


def olmoe_keys(shape: dict, weights: str) -> dict[str, int | float | str]:
    name = "olmoe"
    return {
        "general.architecture": name,
        "general.name": "random",
        "general.file_type": TYPES[weights].file_type,
        f"{name}.block_count": shape["layers"],
        f"{name}.context_length": shape["max_positions"],
        f"{name}.embedding_length": shape["hidden"],
        f"{name}.feed_forward_length": shape["expert_width"],
        f"{name}.attention.head_count": shape["heads"],
        f"{name}.attention.head_count_kv": shape["kv_heads"],
        f"{name}.attention.layer_norm_rms_epsilon": float(shape["norm_eps"]),
        f"{name}.rope.freq_base": 10000.0,
        f"{name}.expert_count": shape["experts"],
        f"{name}.expert_used_count": shape["experts_per_token"],
        f"{name}.vocab_size": shape["vocabulary"],
        "tokenizer.ggml.model": "no_vocab",
    }


def olmoe_tensors(shape: dict, weights: str) -> list[Tensor]:
    """The names that the peer's OLMoE wants; matrices are (in, out), experts stacked in the third dimension."""
    hidden, width, experts = shape["hidden"], shape["expert_width"], shape["experts"]
    q, kv = shape["heads"] * shape["head_dim"], shape["kv_heads"] * shape["head_dim"]
    tensors = [
        Tensor("token_embd.weight", (hidden, shape["vocabulary"]), weights),
        Tensor("output_norm.weight", (hidden,), "f32", ones=True),
        Tensor("output.weight", (hidden, shape["vocabulary"]), weights),
    ]
    for layer in range(shape["layers"]):
        def add(name: str, sizes: tuple[int, ...], kind: str = weights) -> None:
            tensors.append(Tensor(f"blk.{layer}.{name}.weight", sizes, kind, ones=name.endswith("norm")))

        for name, size in (("attn_norm", hidden), ("attn_q_norm", q), ("attn_k_norm", kv), ("ffn_norm", hidden)):
            add(name, (size,), "f32")
        for name, sizes in (("attn_q", (hidden, q)), ("attn_k", (hidden, kv)), ("attn_v", (hidden, kv)),
                            ("attn_output", (q, hidden))):
            add(name, sizes)
        add("ffn_gate_inp", (hidden, experts), "f32")
        for name, sizes in (("ffn_gate_exps", (hidden, width, experts)), ("ffn_up_exps", (hidden, width, experts)),
                            ("ffn_down_exps", (width, hidden, experts))):
            add(name, sizes)
    return tensors


def write_olmoe(path: Path, shape: dict, weights: str) -> int:
    """Writes a file of `shape` (an entry of guildhall bench shapes); returns its bytes. Atomic: all or nothing."""
    if shape["family"] != "olmoe":
        raise ValueError(f"family {shape['family']}: only shapes of the olmoe family can be written as GGUF")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            write(file, olmoe_keys(shape, weights), olmoe_tensors(shape, weights))
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return path.stat().st_size

"""Writes GGUF files (version 3, little-endian) of random weights in a given shape. Standard library only."""

import os
import random
import struct
from pathlib import Path
from typing import BinaryIO, Iterator, NamedTuple

ALIGNMENT = 32
PIECE_BYTES = 1 << 22  # about as much is drawn and written at a time

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
    fill: str = "noise"  # "ones": norms; "loud": embeddings; else small noise


def tensor_bytes(tensor: Tensor) -> int:
    block = TYPES[tensor.type]
    if tensor.shape[0] % block.values:
        raise ValueError(f"{tensor.name}: {tensor.type} holds blocks of {block.values}, its rows have {tensor.shape[0]}")
    count = 1
    for size in tensor.shape:
        count *= size
    return count // block.values * block.bytes


# Of weights. Embeddings are thousands of times as large: what the layers add to a token's embedding is then next to
# nothing, so that in each layer the router sees the embedding of the row's own token, and rows differ as tokens do.
QUIET, LOUD = 2.0**-7, 2.0**7


def _floats(random_bytes: bytes, size: int, scale: float) -> bytes:
    """Little-endian floats (4) or their upper halves (2): random signs, magnitudes between scale and 4 * scale.
    The scale is an odd power of two."""
    data = bytearray(random_bytes)
    top = struct.pack("<f", scale)
    # The sign, and the exponent of the scale; its lowest bit stands in the next byte and stays random.
    signs = bytes(top[3] | (byte & 0x80) for byte in range(256))
    data[size - 1 :: size] = data[size - 1 :: size].translate(signs)
    return bytes(data)


# Codes -7 to 7: -8 has no opposite, and a mean that is not zero would be common to all rows.
_CENTRED = bytes(8 if code == 0 else code for code in range(16))
CENTRED_PAIRS = bytes(_CENTRED[byte & 15] | _CENTRED[byte >> 4] << 4 for byte in range(256))


def noise(block_type: str, count: int, source: random.Random, loud: bool = False) -> bytes:
    """`count` whole blocks of random numbers of both signs."""
    block = TYPES[block_type]
    scale = LOUD if loud else QUIET
    data = source.randbytes(count * block.bytes)
    if block.scale_at < 0:
        return _floats(data, block.bytes, scale)
    blocks = bytearray(data.translate(CENTRED_PAIRS) if block_type == "q4_0" else data)
    for at, byte in enumerate(struct.pack("<e", scale / (32 if block_type == "q8_0" else 2))):
        blocks[block.scale_at + at :: block.bytes] = bytes([byte]) * count
    return bytes(blocks)


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


def pieces(tensor: Tensor) -> Iterator[bytes]:
    size = tensor_bytes(tensor)
    if tensor.fill == "ones":
        yield struct.pack("<f", 1.0) * (size // 4)
    else:
        # Drawn anew from end to end: rows that come again would make tokens and experts alike.
        source = random.Random(tensor.name)
        block = TYPES[tensor.type]
        left = size // block.bytes
        while left > 0:
            count = min(left, PIECE_BYTES // block.bytes)
            yield noise(tensor.type, count, source, tensor.fill == "loud")
            left -= count
    yield bytes(padded(size) - size)


def write(file: BinaryIO, keys: dict[str, int | float | str], tensors: list[Tensor]) -> None:
    file.write(header(keys, tensors))
    for tensor in tensors:
        for piece in pieces(tensor):
            file.write(piece)


# As which model a shape is written. The first knows OLMoE's norms of whole rows of q and k, the second norms each head.
FAMILIES = ("olmoe", "qwen3moe")


def model_keys(shape: dict, weights: str, family: str) -> dict[str, int | float | str]:
    keys: dict[str, int | float | str] = {
        "general.architecture": family,
        "general.name": "random",
        "general.file_type": TYPES[weights].file_type,
        f"{family}.block_count": shape["layers"],
        f"{family}.context_length": shape["max_positions"],
        f"{family}.embedding_length": shape["hidden"],
        f"{family}.feed_forward_length": shape["expert_width"],
        f"{family}.attention.head_count": shape["heads"],
        f"{family}.attention.head_count_kv": shape["kv_heads"],
        f"{family}.attention.layer_norm_rms_epsilon": float(shape["norm_eps"]),
        f"{family}.rope.freq_base": 10000.0,
        f"{family}.expert_count": shape["experts"],
        f"{family}.expert_used_count": shape["experts_per_token"],
        f"{family}.vocab_size": shape["vocabulary"],
        "tokenizer.ggml.model": "no_vocab",
    }
    if family == "qwen3moe":
        keys |= {f"{family}.expert_feed_forward_length": shape["expert_width"],
                 f"{family}.attention.key_length": shape["head_dim"], f"{family}.attention.value_length": shape["head_dim"]}
    return keys


def model_tensors(shape: dict, weights: str, family: str) -> list[Tensor]:
    """The names that the peers want; matrices are (in, out), experts stacked in the third dimension."""
    hidden, width, experts = shape["hidden"], shape["expert_width"], shape["experts"]
    q, kv = shape["heads"] * shape["head_dim"], shape["kv_heads"] * shape["head_dim"]
    q_norm, k_norm = (q, kv) if family == "olmoe" else (shape["head_dim"], shape["head_dim"])
    tensors = [
        Tensor("token_embd.weight", (hidden, shape["vocabulary"]), weights, "loud"),
        Tensor("output_norm.weight", (hidden,), "f32", "ones"),
        Tensor("output.weight", (hidden, shape["vocabulary"]), weights),
    ]
    for layer in range(shape["layers"]):
        def add(name: str, sizes: tuple[int, ...], kind: str = weights) -> None:
            fill = "ones" if name.endswith("norm") else "noise"
            tensors.append(Tensor(f"blk.{layer}.{name}.weight", sizes, kind, fill))

        for name, size in (("attn_norm", hidden), ("attn_q_norm", q_norm), ("attn_k_norm", k_norm), ("ffn_norm", hidden)):
            add(name, (size,), "f32")
        for name, sizes in (("attn_q", (hidden, q)), ("attn_k", (hidden, kv)), ("attn_v", (hidden, kv)),
                            ("attn_output", (q, hidden))):
            add(name, sizes)
        add("ffn_gate_inp", (hidden, experts), "f32")
        for name, sizes in (("ffn_gate_exps", (hidden, width, experts)), ("ffn_up_exps", (hidden, width, experts)),
                            ("ffn_down_exps", (width, hidden, experts))):
            add(name, sizes)
    return tensors


def model_bytes(shape: dict, weights: str, family: str) -> int:
    """Of the whole file."""
    tensors = model_tensors(shape, weights, family)
    return len(header(model_keys(shape, weights, family), tensors)) + sum(padded(tensor_bytes(t)) for t in tensors)


def write_model(path: Path, shape: dict, weights: str, family: str) -> int:
    """Writes a file of `shape` (an entry of guildhall bench shapes); returns its bytes. Atomic: all or nothing."""
    if shape["family"] != "olmoe":
        raise ValueError(f"family {shape['family']}: only shapes of the olmoe family can be written as GGUF")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            write(file, model_keys(shape, weights, family), model_tensors(shape, weights, family))
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return path.stat().st_size

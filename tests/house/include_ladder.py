"""Includes point only downward, and each third-party library stays behind its own door (docs/architecture.md)."""

import sys
from pathlib import Path

from sources import Include, folder_of, own_files, read_includes, without_comments

# An include goes from a higher number to a lower one, or stays in its folder. A new folder gets its line here and in
# docs/architecture.md in the same change.
LAYERS = {
    "base": 0,
    "kernels": 1,
    "text": 1,
    "checkpoint": 2,
    "weights": 3,
    "adapters": 4,
    "model": 5,
    "engine": 6,
    "config": 7,
    "runtime": 7,
    "tools": 7,
    "server": 8,
    "client": 8,
    "bench": 9,
    "commands": 9,
    "main.cc": 10,
}
TOP = 9  # the parts of the top may use each other, without a cycle
ANY = {"tests"}  # may include everything; nothing includes them

# What a library's headers look like (prefix of the include, or its end where that begins with a dot), and where they
# may appear (prefix of the file).
DOORS = [
    ("gRPC", ("grpc/", "grpc++/", "grpcpp/", ".grpc.pb.h"), ("server/grpc/", "client/")),
    ("protobuf messages", ("google/protobuf/", "google/rpc/", "guildhall/v1/"), ("server/", "client/")),
    ("the gRPC front end (whoever serves names it)", ("server/grpc/",), ("server/grpc/", "commands/")),
    (
        "CUDA",
        ("cuda", "cublas", "cudnn", "curand", "cusparse", "nvrtc", "nccl", "nvtx", "nvml", "cub/", "thrust/", "cutlass/",
         "cute/", "cooperative_groups", "mma.h", "device_launch_parameters", "driver_types", "vector_types"),
        ("kernels/cuda/", "tests/cuda_emulation/"),
    ),
    (
        "Highway and intrinsics",
        ("hwy/", "immintrin.h", "x86intrin.h", "xmmintrin.h", "emmintrin.h", "pmmintrin.h", "tmmintrin.h", "smmintrin.h",
         "nmmintrin.h", "avxintrin.h", "avx2intrin.h", "arm_neon.h", "arm_sve.h"),
        ("kernels/cpu/",),
    ),
    ("nlohmann_json (base/json.h wraps it)", ("nlohmann/",), ("base/",)),
    ("spdlog (base/log.h wraps it)", ("spdlog/", "fmt/"), ("base/",)),
    ("OpenSSL", ("openssl/",), ("server/grpc/",)),
    ("CLI11", ("CLI/",), ("client/", "commands/", "bench/", "main.cc")),
    ("Catch2", ("catch2/",), ("tests/",)),
    ("the Rust interface (private to text/)", ("text/rust/", "text/c_api.h"), ("text/",)),
    ("the HTTP library", ("server/http/rust/",), ("server/http/",)),
    ("the HTTP front end (whoever serves names it)", ("server/http/",), ("server/http/", "commands/")),
]
# Names that another's header may bring along are used behind the door only, too.
NAMES = [("grpc::", ("server/grpc/", "client/"))]
# Back ends do not know each other.
STRANGERS = [("kernels/cpu/", "kernels/cuda/"), ("kernels/cuda/", "kernels/cpu/")]


def _is_own(target: str) -> bool:
    first = folder_of(target)
    return first in LAYERS or first in ANY


def _matches(target: str, headers: tuple[str, ...]) -> bool:
    return any(target.endswith(h) if h.startswith(".") else target.startswith(h) for h in headers)


def check_folders(files: list[str]) -> list[str]:
    """Every folder with sources has its layer."""
    unknown = sorted({folder_of(f) for f in files} - LAYERS.keys() - ANY)
    return [
        f"{name}: not in the table of layers; add it to LAYERS in tests/house/include_ladder.py and to docs/architecture.md"
        for name in unknown
    ]


def check_edge(include: Include) -> list[str]:
    """The direction of one include between our own folders."""
    source, target = folder_of(include.file), folder_of(include.target)
    if source == target or source in ANY or source not in LAYERS:
        return []
    if target in ANY:
        return [f'{include.at()}: includes "{include.target}": nothing outside tests/ may include {target}/']
    if LAYERS[target] < LAYERS[source] or LAYERS[target] == LAYERS[source] == TOP:
        return []
    return [
        f'{include.at()}: includes "{include.target}": {source} (layer {LAYERS[source]}) may use only layers below it, '
        f"{target} is layer {LAYERS[target]}"
    ]


def check_door(include: Include) -> list[str]:
    """Third-party headers appear behind their door only; tests may open all."""
    problems = []
    if folder_of(include.file) in ANY:
        return problems
    own = include.quoted and _is_own(include.target)
    for library, headers, places in DOORS:
        if own != _is_own(headers[0]):
            continue
        if _matches(include.target, headers):
            if not include.file.startswith(places):
                problems.append(f"{include.at()}: includes {include.target}: {library} only in {', '.join(places)}")
            break  # the first door that a header fits is its own
    for place, stranger in STRANGERS:
        if own and include.file.startswith(place) and include.target.startswith(stranger):
            problems.append(f'{include.at()}: includes "{include.target}": {place} and {stranger} do not know each other')
    return problems


def check_names(root: Path, file: str) -> list[str]:
    """Names of a library appear behind its door only; tests may use all."""
    if folder_of(file) in ANY:
        return []
    text = without_comments((root / file).read_text(encoding="utf-8"))
    return [
        f"{file}:{text.count(chr(10), 0, at) + 1}: {name} only in {', '.join(places)}"
        for name, places in NAMES
        if (at := text.find(name)) >= 0 and not file.startswith(places)
    ]


def check_spelling(root: Path, include: Include) -> list[str]:
    """Own headers are written in quotes, from the repository root, and exist."""
    if not _is_own(include.target):
        if include.quoted and "/" not in include.target:
            return [f'{include.at()}: includes "{include.target}": write the path from the repository root']
        return []
    exists = (root / include.target).is_file()
    if not include.quoted and exists:
        return [f'{include.at()}: includes <{include.target}>: own headers are written in quotes']
    if include.quoted and not exists:
        return [f'{include.at()}: includes "{include.target}": no such file']
    if include.quoted and include.target.endswith((".cc", ".cu")):
        return [f'{include.at()}: includes "{include.target}": a source file, not a header']
    return []


def check_own_header_first(root: Path, file: str, includes: list[Include]) -> list[str]:
    """x.cc begins with x.h, so that a header that forgot an include is seen at once."""
    path = Path(file)
    own = path.with_suffix(".h").as_posix()
    if path.suffix not in (".cc", ".cu") or not includes or not (root / own).is_file():
        return []
    if includes[0].target == own:
        return []
    return [f'{includes[0].at()}: the first include is {includes[0].target}, expected "{own}"']


def check_once(root: Path, file: str) -> list[str]:
    """Every header has its guard (a SIMD source that is compiled once per target has none)."""
    if not file.endswith((".h", ".cuh")) or file.endswith("-inl.h"):
        return []
    if "#pragma once" in (root / file).read_text(encoding="utf-8"):
        return []
    return [f"{file}: no #pragma once"]


def find_cycle(edges: dict[str, set[str]]) -> list[str]:
    """One cycle as [a, b, ..., a], or []."""
    done: set[str] = set()
    for start in sorted(edges):
        path: list[str] = []
        stack = [(start, iter(sorted(edges.get(start, ()))))] if start not in done else []
        path += [start] if stack else []
        while stack:
            node, targets = stack[-1]
            target = next(targets, None)
            if target is None:
                done.add(node)
                stack.pop()
                path.pop()
            elif target in path:
                return path[path.index(target):] + [target]
            elif target not in done:
                path.append(target)
                stack.append((target, iter(sorted(edges.get(target, ())))))
    return []


def check_cycles(includes: list[Include]) -> list[str]:
    """No cycle between folders, none between headers."""
    folders: dict[str, set[str]] = {}
    headers: dict[str, set[str]] = {}
    for include in includes:
        source, target = folder_of(include.file), folder_of(include.target)
        if not include.quoted or not _is_own(include.target) or source in ANY:
            continue
        if source != target:
            folders.setdefault(source, set()).add(target)
        if include.target != include.file:
            headers.setdefault(include.file, set()).add(include.target)
    problems = []
    for kind, edges in (("folders", folders), ("headers", headers)):
        cycle = find_cycle(edges)
        if cycle:
            problems.append(f"a cycle of {kind}: {' -> '.join(cycle)}")
    return problems


def check_tree(root: Path) -> list[str]:
    files = own_files(root)
    problems = check_folders(files)
    everything: list[Include] = []
    for file in files:
        includes = read_includes(root, file)
        everything += includes
        problems += check_own_header_first(root, file, includes) + check_once(root, file) + check_names(root, file)
        for include in includes:
            problems += check_spelling(root, include)
            problems += check_door(include)
            if include.quoted and _is_own(include.target):
                problems += check_edge(include)
    return problems + check_cycles(everything)


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    files = own_files(root)
    problems = check_tree(root)
    print("\n".join(problems))
    print(f"include_ladder: {len(files)} files, {len(problems)} problems")
    if not files:
        print(f"include_ladder: found no source under {root}")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())

"""Each own header compiles alone, with the flags of its folder; twice in a row, so that its guard is seen to work.

usage: headers_alone.py ROOT BUILD_FOLDER
A header that its own source includes first has been compiled alone by the build (include_ladder checks the order); the
others are compiled here, syntax only. What passed is not compiled again until it, an own header below it or its
flags change: the build folder keeps their digest.
"""

import collections
import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from sources import own_files, read_includes

JOBS = 2
# What belongs to one object file, and what only costs time here.
_DROPPED = ("-c", "-g", "-MD", "-MMD", "-pipe", "-Winvalid-pch")
_DROPPED_WITH_VALUE = ("-o", "-MF", "-MT", "-MQ", "-include")  # the last: a precompiled header


def compile_flags(entry: dict) -> list[str]:
    """The compiler and its flags of one entry of compile_commands.json, without its files."""
    words = entry.get("arguments") or shlex.split(entry["command"])
    source = entry["file"]
    compiler = next(i for i, word in enumerate(words) if Path(word).name not in ("ccache", "sccache"))
    flags = [words[compiler]]
    skip = False
    for word in words[compiler + 1 :]:
        if skip:
            skip = False
        elif word in _DROPPED_WITH_VALUE:
            skip = True
        elif word not in _DROPPED and not word.startswith("-O") and word != source:
            flags.append(word)
    return flags


def flags_by_folder(root: Path, build: Path) -> dict[str, tuple[list[str], str]]:
    """Folder -> (flags, working folder) that most of its sources have, of those the shortest. nvcc's are no g++'s."""
    entries = json.loads((build / "compile_commands.json").read_text())
    counts: dict[str, collections.Counter] = {}
    for entry in entries:
        file, flags = Path(entry["file"]), compile_flags(entry)
        if file.is_relative_to(root) and not file.is_relative_to(build) and "nvcc" not in map(os.path.basename, flags):
            folder = file.relative_to(root).parent.as_posix()
            counts.setdefault(folder, collections.Counter())[(*flags, entry["directory"])] += 1
    best = {folder: min(count, key=lambda flags: (-count[flags], len(flags), flags)) for folder, count in counts.items()}
    return {folder: (list(flags[:-1]), flags[-1]) for folder, flags in best.items()}


def nearest_flags(flags: dict, header: str):
    """Of the header's folder, else of a folder inside it (an interface beside its back ends), else of one around it."""
    folder = Path(header).parent
    inside = sorted(name for name in flags if name.startswith(f"{folder.as_posix()}/"))
    for name in [folder.as_posix(), *inside, *(parent.as_posix() for parent in folder.parents)]:
        if name in flags:
            return flags[name]
    return None


def built_sources(root: Path, build: Path) -> set[str]:
    """The own sources that the build compiles without a precompiled header before them, from the root."""
    entries = json.loads((build / "compile_commands.json").read_text())
    files = (Path(entry["file"]) for entry in entries if "-include" not in entry["command"].split())
    return {file.relative_to(root).as_posix() for file in files if file.is_relative_to(root)}


def compiled_by_the_build(root: Path, header: str, sources: set[str]) -> bool:
    source = str(Path(header).with_suffix(".cc"))
    if source not in sources:
        return False
    includes = read_includes(root, source)
    return bool(includes) and includes[0].target == header


def digest(root: Path, header: str, flags: list[str]) -> str:
    """Of the header, all own headers that it reaches, and its flags."""
    seen, todo = set(), [header]
    while todo:
        file = todo.pop()
        if file not in seen and (root / file).is_file():
            seen.add(file)
            todo += [include.target for include in read_includes(root, file)]
    total = hashlib.sha256("\0".join(flags).encode())
    for file in sorted(seen):
        total.update(file.encode() + b"\0" + (root / file).read_bytes())
    return total.hexdigest()


def compile_alone(root: Path, header: str, flags: list[str], folder: str) -> str:
    """The compiler's complaint, or "" for none."""
    source = f'#include "{header}"\n#include "{header}"\n'
    command = flags + [f"-I{root}", "-fsyntax-only", "-x", "c++", "-"]
    result = subprocess.run(command, cwd=folder, input=source, capture_output=True, text=True)
    return "" if result.returncode == 0 else f"{header} does not compile alone:\n{result.stderr.strip()}"


def check_headers(root: Path, build: Path) -> tuple[list[str], int, int]:
    """Problems, headers in all, headers compiled now."""
    known_file = build / "headers_alone.json"
    known = json.loads(known_file.read_text()) if known_file.is_file() else {}
    flags, sources = flags_by_folder(root, build), built_sources(root, build)
    headers = own_files(root, (".h",))
    problems, jobs, good = [], {}, {}
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for header in headers:
            if compiled_by_the_build(root, header, sources):
                continue
            found = nearest_flags(flags, header)
            if found is None:
                problems.append(f"{header}: no source of its folder is compiled, so its flags are not known")
                continue
            key = digest(root, header, found[0])
            if known.get(header) == key:
                good[header] = key
            else:
                jobs[pool.submit(compile_alone, root, header, *found)] = (header, key)
        for job in concurrent.futures.as_completed(jobs):
            header, key = jobs[job]
            if job.result():
                problems.append(job.result())
            else:
                good[header] = key
    temporary = known_file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(good, indent=0, sort_keys=True))
    temporary.replace(known_file)
    return problems, len(headers), len(jobs)


def main() -> int:
    root, build = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    problems, headers, compiled = check_headers(root, build)
    print("\n".join(sorted(problems)))
    print(f"headers_alone: {headers} headers, {compiled} compiled now, {len(problems)} problems")
    return 1 if problems or headers == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

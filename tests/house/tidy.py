"""clang-tidy, as .clang-tidy says, over the own C++ sources that differ from the main branch.

usage: tidy.py ROOT BUILD_FOLDER [--jobs N] [--all | --since COMMIT | FILE...]
A header is read with the source that has its name; one that has none is read by itself. What passed is not read again
until it, an own header below it, its flags or .clang-tidy change: the build folder keeps their digest.
"""

import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from headers_alone import compile_flags, digest, flags_by_folder, nearest_flags
from sources import own_files

SUFFIXES = (".cc", ".h")
# Another's names, given a meaning by ours: headers that are included by them are left out as what is installed is.
FOREIGN = "tests/cuda_emulation/include/"
FOREIGN_PREFIXES = ("cuda", "emulated/")
MAIN_BRANCHES = ("origin/HEAD", "origin/main", "@{upstream}", "main")  # the first that is known


def git(root: Path, *arguments: str) -> list[str] | None:
    """The lines that git prints; None when it fails."""
    result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    return result.stdout.splitlines() if result.returncode == 0 else None


def changed_files(root: Path, since: str | None) -> list[str]:
    """What differs from `since`, or from where this branch left the main one; files that git does not know, too."""
    if since is None:
        bases = (git(root, "merge-base", name, "HEAD") for name in MAIN_BRANCHES)
        since = next((base[0] for base in bases if base), "HEAD")
    changed = git(root, "diff", "--name-only", "--diff-filter=d", "--relative", since)
    unknown = git(root, "ls-files", "--others", "--exclude-standard")
    if changed is None or unknown is None:
        raise SystemExit(f"tidy: git cannot compare {root} with {since}: name files, or use --all")
    return sorted({*changed, *unknown})


def to_read(root: Path, files: list[str]) -> list[str]:
    """The files that clang-tidy is given so that it sees all of `files`."""
    own = {file for file in own_files(root, SUFFIXES) if not file.startswith(FOREIGN)}
    sources = {file: str(Path(file).with_suffix(".cc")) for file in files if file in own}
    return sorted({source if source in own else file for file, source in sources.items()})


def clang_flags(flags: list[str]) -> list[str]:
    """Without warnings, which are the compiler's to give, without its precompiled headers and foreign names."""
    kept, skip = [], False
    for flag in flags:
        if not skip and flag != "-include" and not flag.startswith("-W"):
            kept.append(flag)
        skip = flag == "-include"
    return kept + [f"--system-header-prefix={prefix}" for prefix in FOREIGN_PREFIXES]


def all_flags(root: Path, build: Path) -> tuple[dict, dict]:
    """Flags and working folder: by source, and by folder for what the build does not compile."""
    entries = json.loads((build / "compile_commands.json").read_text())
    by_file = {entry["file"]: (compile_flags(entry), entry["directory"]) for entry in entries}
    return by_file, flags_by_folder(root, build)


def read(program: str, file: Path, flags: list[str], folder: str) -> str:
    """What clang-tidy finds, or ""."""
    language = ["-x", "c++", "-Wno-pragma-once-outside-header"] if file.suffix == ".h" else []
    command = [program, "--quiet", str(file), "--", *flags[1:], *language]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return "" if result.returncode == 0 else result.stdout.strip() or result.stderr.strip()


def remember(file: Path, known: dict[str, str]) -> None:
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(known, indent=0, sort_keys=True))
    temporary.replace(file)


def check_files(root: Path, build: Path, files: list[str], jobs: int) -> tuple[list[str], int]:
    """Problems, and the files that were read now."""
    program = shutil.which("clang-tidy-14") or shutil.which("clang-tidy")
    if program is None:
        raise SystemExit("tidy: no clang-tidy here (scripts/setup installs it)")
    known_file = build / "tidy.json"
    known = json.loads(known_file.read_text()) if known_file.is_file() else {}
    by_file, by_folder = all_flags(root, build)
    rules = (root / ".clang-tidy").read_text()
    problems, running = [], {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for file in files:
            flags, folder = by_file.get(str(root / file)) or nearest_flags(by_folder, file) or (["c++"], str(root))
            flags = clang_flags(flags)
            key = digest(root, file, [rules, *flags])
            if known.get(file) != key:
                known.pop(file, None)
                running[pool.submit(read, program, root / file, flags, folder)] = (file, key)
        for job in concurrent.futures.as_completed(running):
            file, key = running[job]
            if job.result():
                problems.append(job.result())
                print(job.result(), flush=True)
            else:
                known[file] = key
                remember(known_file, known)  # each at once: a run over all sources takes long and may be stopped
    return problems, len(running)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tidy.py")
    parser.add_argument("root", type=lambda text: Path(text).resolve())
    parser.add_argument("build", type=lambda text: Path(text).resolve())
    parser.add_argument("files", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--since", metavar="COMMIT")
    options = parser.parse_intermixed_args()
    root = options.root
    named = [os.path.normpath(file) for file in options.files]
    files = own_files(root, SUFFIXES) if options.all else named or changed_files(root, options.since)
    if gone := [file for file in named if not (root / file).is_file()]:
        parser.error(f"no such file below {root}: {', '.join(gone)}")
    files = to_read(root, files)
    problems, now = check_files(root, options.build, files, options.jobs)
    print(f"tidy: {len(files)} files, {now} read now, {len(problems)} with findings")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

"""Defects from mutations.toml, one at a time: compiled beside the tree, linked into the tests, which must fail.

usage: mutate_kernels.py ROOT BUILD [--check] [NAME...]
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib

TABLE = "tests/cuda_emulation/mutations.toml"
TEST_SECONDS = 600
ENVIRONMENT = {"GUILDHALL_TEST_DEVICE": "cuda", "EMULATED_CUDA_ORDER": "shuffled"}


def read_table(root):
    """The mutations; ends the program where one does not fit the sources."""
    mutations = tomllib.loads((root / TABLE).read_text())["mutation"]
    problems = []
    for m in mutations:
        found = (root / m["file"]).read_text().count(m["before"])
        if found != 1:
            problems.append(f'{m["name"]}: expected its text once in {m["file"]}, found it {found} times')
        if m["before"] == m["after"]:
            problems.append(f'{m["name"]}: changes nothing')
    if problems:
        sys.exit(f"{TABLE}:\n  " + "\n  ".join(problems))
    return mutations


class Build:
    """What ninja would run for a program's objects of the CUDA back end, and for the program."""

    def __init__(self, root, folder, target):
        self.root, self.folder, self.target = root, folder, target
        lines = self.ninja("-t", "commands", target).splitlines()
        self.link = lines[-1]
        self.compile = {}  # object: command
        for line in lines:
            words = shlex.split(line)
            if "-c" in words and "-o" in words:
                self.compile[words[words.index("-o") + 1]] = line
        library = "gh_cuda_checked" if target.endswith("_checked") else "gh_cuda_emulated"
        self.objects = [o for o in self.compile if f"/{library}.dir/" in o and o in self.link]

    def ninja(self, *arguments):
        return subprocess.run(["ninja", "-C", self.folder, *arguments], check=True, text=True,
                              stdout=subprocess.PIPE).stdout

    def users_of(self, file):
        """Objects that were made from a file."""
        path = str((self.root / file).resolve())
        users = []
        for o in self.objects:
            depends = self.ninja("-t", "deps", o).split()
            if path in depends or any(d.endswith("/" + file) for d in depends):
                users.append(o)
        return users

    def make(self, scratch, objects):
        """The program with those objects from the sources in scratch."""
        link = self.link
        for number, o in enumerate(objects):
            made = scratch / f"{number}.o"
            words = shlex.split(self.compile[o])
            words[words.index("-o") + 1] = str(made)
            for option in ("-MF", "-MT"):
                words[words.index(option) + 1] = str(made) + ".d"
            source = words[-1]
            words[-1] = str(scratch / pathlib.Path(source).relative_to(self.root))
            # Behind the emulation's headers, before the tree's.
            words.insert(words.index(f"-I{self.root}"), f"-I{scratch}")
            done = subprocess.run(words, cwd=self.folder, text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
            if done.returncode != 0:
                sys.exit(f"a mutation must compile:\n{done.stdout}")
            link = link.replace(o, str(made))
        program = scratch / self.target
        link = link.replace(f"-o bin/{self.target}", f"-o {program}").split(" && cd ")[0]
        subprocess.run(["bash", "-c", link], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
        return program


def failure_of(program, tests):
    """What the tests say that fails; None: they pass."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GUILDHALL_")} | ENVIRONMENT
    try:
        done = subprocess.run([program, tests], env=environment, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, errors="replace", timeout=TEST_SECONDS)
    except subprocess.TimeoutExpired:
        return "no end"
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stdout.splitlines()]
    for mark in ("emulated device: ", "CHECK failed"):
        for line in lines:
            if mark in line:
                return line[line.index(mark):]
    return next((line for line in lines if "FAILED" in line), "it ends early")


def find(build, mutation):
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        shutil.copytree(build.root / "kernels" / "cuda", scratch / "kernels" / "cuda")
        # The emulation has a twin of it, which comes first in the tree, too.
        (scratch / "kernels" / "cuda" / "ptx.h").unlink()
        changed = scratch / mutation["file"]
        changed.write_text(changed.read_text().replace(mutation["before"], mutation["after"]))
        objects = build.users_of(mutation["file"])
        if not objects:
            sys.exit(f'{mutation["name"]}: nothing of {build.target} is made from {mutation["file"]}')
        return failure_of(build.make(scratch, objects), mutation["tests"])


def main():
    root, folder, *names = sys.argv[1:]
    root, folder = pathlib.Path(root).resolve(), pathlib.Path(folder).resolve()
    mutations = read_table(root)
    if names == ["--check"]:
        print(f"{len(mutations)} mutations fit the sources")
        return
    mutations = [m for m in mutations if not names or any(n in m["name"] for n in names)]
    builds, passed, missed = {}, set(), []
    for m in mutations:
        target = m.get("program", "kernels_test_checked")
        if target not in builds:
            builds[target] = Build(root, folder, target)
        if (target, m["tests"]) not in passed:
            failure = failure_of(folder / "bin" / target, m["tests"])
            if failure is not None:
                sys.exit(f'{target} "{m["tests"]}" fails without a defect: {failure}')
            passed.add((target, m["tests"]))
        failure = find(builds[target], m)
        print(f'{"MISSED" if failure is None else "found "}  {m["name"]}: {failure or m["tests"]}', flush=True)
        if failure is None:
            missed.append(m["name"])
    print(f"{len(mutations) - len(missed)} of {len(mutations)} found")
    if missed:
        sys.exit(1)


main()

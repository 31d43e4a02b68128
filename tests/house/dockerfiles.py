"""The images' files keep to what their documentation says, and to each other.

usage: dockerfiles.py ROOT
No linter of containers is among Debian's packages; these are the rules of one that matter here.
"""

import re
import sys
from pathlib import Path

# What the stages that run have in common, whatever they compute on.
RUN_STAGE = ("USER 10001:10001", "STOPSIGNAL SIGTERM", 'ENTRYPOINT ["guildhall"]', "EXPOSE 50051", "HEALTHCHECK")


def instructions(text: str) -> list[str]:
    """Each instruction as one line, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [line.strip() for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def check_instruction(file: str, instruction: str) -> list[str]:
    name, _, rest = instruction.partition(" ")
    rules = [
        (name == "ADD", "ADD: COPY says what it does"),
        (name == "MAINTAINER", "MAINTAINER: a LABEL"),
        (name == "FROM" and not re.match(r"[\w.]+/\S+:(?!latest)\S+", rest), f"FROM {rest}: a registry and a tag that is not latest"),
        (name in ("ENTRYPOINT", "CMD") and not rest.startswith("["), f"{name}: its arguments as a JSON list"),
        ("apt-get install" in rest and "--no-install-recommends" not in rest, "apt-get install without --no-install-recommends"),
        ("apt-get install" in rest and "rm -rf /var/lib/apt/lists" not in rest, "the lists of apt stay in the image"),
        (name == "RUN" and re.search(r"\bsudo\b|\bcurl\b|\bwget\b", rest), "RUN: sudo, or a download by hand"),
        (name == "WORKDIR" and not rest.startswith("/"), f"WORKDIR {rest}: from the root"),
    ]
    return [f"{file}: {what}" for broken, what in rules if broken]


def run_stage(lines: list[str]) -> list[str]:
    last = max((i for i, line in enumerate(lines) if line.startswith("FROM ")), default=0)
    return lines[last:]


def check_file(file: str, text: str) -> list[str]:
    lines = instructions(text)
    problems = [problem for line in lines for problem in check_instruction(file, line)]
    stage = run_stage(lines)
    problems += [f"{file}: the stage that runs has no {wanted}" for wanted in RUN_STAGE
                 if not any(line.startswith(wanted) for line in stage)]
    if any("scripts/setup" in line for line in stage):
        problems.append(f"{file}: the stage that runs has the tools of the build")
    return problems


def check(root: Path) -> tuple[list[str], int]:
    """The problems, and how many files there are."""
    files = sorted((root / "docker").glob("Dockerfile*"))
    texts = {file.name: file.read_text(encoding="utf-8") for file in files}
    problems = [problem for name, text in texts.items() for problem in check_file(f"docker/{name}", text)]
    packages = {name: re.findall(r"\blib[\w.+]+\d\b", " ".join(run_stage(instructions(text)))) for name, text in texts.items()}
    first = next(iter(packages.values()), [])
    problems += [f"docker/{name}: its packages are {found}, the first file's {first}" for name, found in packages.items()
                 if found != first]
    return problems, len(files)


def main() -> int:
    problems, files = check(Path(sys.argv[1]).resolve())
    print("\n".join(problems))
    print(f"dockerfiles: {files} files, {len(problems)} problems")
    return 1 if problems or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

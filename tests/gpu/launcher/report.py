"""What the phases found, as JSON, as a page, and as a short table. Written anew after each phase."""

import datetime
import json
from pathlib import Path

LOG_TAIL = 4000  # characters of one process


class Report:
    def __init__(self, out: Path, plan: dict, device: str, quick: bool):
        self.out = out
        self.data = {"device": device, "date": datetime.date.today().isoformat(), "commit": plan["commit"], "quick": quick,
                     "phases": {}}
        (out / "log.txt").write_text("")

    def log(self, command: list, result) -> None:
        with open(self.out / "log.txt", "a") as file:
            file.write(f"$ {' '.join(map(str, command))}\n{result.output[-LOG_TAIL:]}{result.errors[-LOG_TAIL:]}"
                       f"-> {result.code}, {result.seconds:.1f} s\n\n")

    def add(self, name: str, result: dict) -> None:
        self.data["phases"][name] = result
        (self.out / "report.json").write_text(json.dumps(self.data, indent=1) + "\n")
        (self.out / "report.md").write_text(self.page())

    def good(self) -> bool:
        return all(phase["status"] != "failed" for phase in self.data["phases"].values())

    def table(self) -> str:
        lines = [f"{self.data['device']}; commit {self.data['commit']}; {self.data['date']}"]
        for name, phase in self.data["phases"].items():
            lines.append(f"{name:10} {phase['status']:12} {phase.get('seconds', 0):6.1f} s  {summary(phase)}")
        return "\n".join(lines)

    def page(self) -> str:
        data = self.data
        lines = [f"# {data['device']}", "", f"Commit {data['commit']}, {data['date']}" + (", a quick run." if data["quick"] else "."),
                 "", "| phase | outcome | seconds | |", "|---|---|---|---|"]
        for name, phase in data["phases"].items():
            lines.append(f"| {name} | {phase['status']} | {phase.get('seconds', 0)} | {escaped(summary(phase))} |")
        for name, phase in data["phases"].items():
            lines += details(name, phase)
        return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def summary(phase: dict) -> str:
    parts = [phase["why"]] if phase.get("why") else []
    if "passed" in phase:
        parts.append(f"{phase['passed']} cases passed")
    if "answers" in phase:
        parts.append(f"{phase['answers'] - len(phase['wrong'])} of {phase['answers']} answers equal")
    if "equal" in phase:
        parts.append(f"{len(phase['equal'])} equal to the emulation, {len(phase['different'])} not")
    if "facts" in phase:
        parts.append(f"{len(phase['facts'])} facts")
    for kind in ("failed", "not reached"):
        if phase.get(kind):
            parts.append(f"{len(phase[kind])} {kind}")
    return "; ".join(parts)


def details(name: str, phase: dict) -> list:
    lines = []
    if phase.get("facts"):
        lines += ["| what | found |", "|---|---|"]
        for fact in phase["facts"]:
            value = fact.get("text") or fact.get("error") or f"{fact['value']:g} {fact['unit']}".strip()
            lines.append(f"| {escaped(fact['name'])} | {escaped(value)} |")
    for kind in ("failed", "different", "not reached", "wrong"):
        for item in phase.get(kind, []):
            text = f"{item['name']}: {item['why']}" if isinstance(item, dict) else item
            lines.append(f"- {kind}: {text}")
    for bench, found in phase.get("figures", {}).items():
        lines += [f"{bench}:", "```", json.dumps(found, indent=1)[:6000], "```"]
    return ["", f"## {name}", "", *lines] if lines else []

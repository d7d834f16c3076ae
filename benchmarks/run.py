"""The table of speeds: `python benchmarks/run.py` (or `make bench`) prints it and keeps it under benchmarks/results.

Every group runs in a process of its own, everything that is compared inside one process, in turns; compilation is left
out. Take a quiet machine. `--only ensembles` runs one group, `--keep` writes the table even so.
"""

import argparse
import dataclasses
import datetime
import importlib
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
GROUPS = {
    "ensembles": ("float32", "float64"),
    "gradients": ("float32", "float64"),
    "estimators": ("float64",),
    "particles": ("float32", "float64"),
    "draws": ("float64",),
    "processes": ("",),
    "linter": ("float64",),
}
MARKS = {True: "pass", False: "MISS", None: ""}


def main() -> None:
    """Run the groups that were asked for and report."""
    arguments = _arguments()
    if arguments.worker:
        _work(arguments.worker)
        return
    names = [arguments.only] if arguments.only else list(GROUPS)
    lines = ["| precision | what | goal | measured | |", "|---|---|---|---|---|"]
    print(*lines, sep="\n")
    for name in names:
        for precision in GROUPS[name]:
            for row in _rows(name, precision):
                lines.append(
                    f"| {precision} | {row['name']} | {row['goal']} | {row['measured']} | {MARKS[row['passed']]} |"
                )
                print(lines[-1], flush=True)
    if arguments.keep or not arguments.only:
        _keep(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=GROUPS, help="one group alone")
    parser.add_argument("--keep", action="store_true", help="write the table of one group too")
    parser.add_argument("--worker", choices=GROUPS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _rows(name: str, precision: str) -> list[dict]:
    environment = {**os.environ, "JAX_ENABLE_X64": str(precision == "float64")}
    command = [sys.executable, str(HERE / "run.py"), "--worker", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        return [{"name": name, "goal": "", "measured": f"failed with exit code {done.returncode}", "passed": False}]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _work(name: str) -> None:
    for row in importlib.import_module(name).rows():
        print(json.dumps(dataclasses.asdict(row)), flush=True)


def _keep(lines: list[str]) -> None:
    day = datetime.date.today().isoformat()
    cpu = _cpu()
    path = HERE / "results" / f"{day}-{re.sub(r'[^a-z0-9]+', '-', cpu.lower()).strip('-')}.md"
    path.parent.mkdir(exist_ok=True)
    from importlib.metadata import version

    versions = ", ".join(f"{package} {version(package)}" for package in ("jax", "jaxlib", "equinox", "openmm"))
    machine = f"{cpu}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {versions}"
    head = [f"# Speeds of {day}", "", machine + ".", "", *_notes(), ""]
    path.write_text("\n".join([*head, *lines]) + "\n")
    print(f"\nwritten: {path.relative_to(HERE.parent)}")


def _notes() -> list[str]:
    return [
        "Medians of ratios of runs that took turns inside one process, compilation left out; ensembles are 1024",
        "trajectories of 1000 steps in a double well, on one device. Why rows miss: [README](../README.md).",
    ]


def _cpu() -> str:
    information = pathlib.Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"model name\s*:\s*(.+)", information.read_text())
        if found:
            return found.group(1).strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()

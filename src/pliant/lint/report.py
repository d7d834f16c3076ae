"""What the linter found, for people and for programs."""

import dataclasses
import io
import json
import pathlib
import urllib.parse
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from pliant.core.source_lines import Place
from pliant.lint._advice import spoken

SEVERITIES = {
    "BREAK": "there is no derivative to be had",
    "NAN": "the derivative is not finite",
    "LIES": "the derivative is not that of the function",
    "BIAS": "a random threshold: the derivative misses what moves across it",
    "BLOWUP": "tangents grow until the derivative says nothing",
    "JUMP": "the value jumps within reach",
    "UNKNOWN": "an edge within reach could not be located",
    "kink": "the slope jumps within reach",
    "info": "worth knowing",
}
"""From the worst to the mildest, with what each means."""

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

MILD = ("kink", "info")
"""With these alone a derivative can be used as it is."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One place where a derivative lies.

    **Fields**: `severity`: one of `SEVERITIES`; `kind`: the operation; `place`: file and line, None where no line of the
    user's was found; `message`: what is wrong, with its numbers; `advice`: what to use instead; `effect`: by how much the
    derivative is off, relative to its size, by which findings are ranked.
    """

    severity: str
    kind: str
    place: Place | None
    message: str
    advice: str = ""
    effect: float = 0.0

    @property
    def text(self) -> str:
        """The operation as a user writes it, and what is wrong with it."""
        name = spoken(self.kind)
        return self.message if self.message.startswith(name) else f"{name}: {self.message}"

    def as_dict(self) -> dict[str, Any]:
        """The fields as numbers and texts."""
        where = {"file": self.place.file, "line": self.place.line, "source": self.place.text} if self.place else {}
        return {**dataclasses.asdict(self), "place": where}


@dataclasses.dataclass(frozen=True)
class Report:
    """Findings, the ones with the largest effect on the derivative first.

    **Fields**: `findings`; `function`: the name of what was looked at. `ok`: whether there are none beyond kinks that the
    arguments do not lie on, and what is only worth knowing.
    """

    findings: tuple[Finding, ...]
    function: str = ""

    @property
    def ok(self) -> bool:
        """Whether the derivative can be used as it is."""
        return all(finding.severity in MILD for finding in self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def to_json(self) -> str:
        """The report as JSON: `function`, `ok`, `findings`."""
        found = [finding.as_dict() for finding in self.findings]
        return json.dumps({"function": self.function, "ok": self.ok, "findings": found}, indent=2)

    def to_sarif(self) -> str:
        """The report in the Static Analysis Results Interchange Format 2.1.0, which code hosts show beside the source."""
        rules = [
            {"id": name, "shortDescription": {"text": text}, "defaultConfiguration": {"level": _level(name)}}
            for name, text in SEVERITIES.items()
        ]
        driver = {"name": "pliant lint", "semanticVersion": version("pliant"), "rules": rules}
        run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": [*map(_sarif, self.findings)]}
        return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)

    def __str__(self) -> str:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=120).print(self.table())
        return text.getvalue()

    def table(self) -> Any:
        """A `rich` table."""
        from rich.table import Table
        from rich.text import Text

        title = f"{self.function}: " + ("nothing found" if not self.findings else f"{len(self.findings)} found")
        table = Table(title=Text(title), show_lines=True)
        for column in ("", "where", "what", "instead"):
            table.add_column(column, overflow="fold")
        for finding in self.findings:
            where = f"{finding.place}\n{finding.place.text}" if finding.place else "(no line of yours)"
            cells = (finding.severity, where, finding.text, finding.advice)
            # As texts: what stands in brackets in a line of a program is no markup.
            table.add_row(*map(Text, cells))
        return table


def _level(severity: str) -> str:
    return "note" if severity in MILD else "warning" if severity in ("JUMP", "UNKNOWN") else "error"


def _sarif(finding: Finding) -> dict[str, Any]:
    instead = f" Instead: {finding.advice}." if finding.advice else ""
    result: dict[str, Any] = {
        "ruleId": finding.severity,
        "level": _level(finding.severity),
        "message": {"text": f"{finding.text}.{instead}"},
        "properties": {"effect": finding.effect},
        "locations": [],
    }
    if finding.place:
        region = {"startLine": finding.place.line, "snippet": {"text": finding.place.text}}
        location = {"artifactLocation": _artifact(finding.place.file), "region": region}
        result["locations"] = [{"physicalLocation": location}]
    return result


def _artifact(file: str) -> dict[str, str]:
    """Relative to the folder that one stands in, as code hosts want it; where a file is elsewhere, in full."""
    path, here = pathlib.Path(file), pathlib.Path.cwd()
    if path.is_relative_to(here):
        return {"uri": urllib.parse.quote(path.relative_to(here).as_posix()), "uriBaseId": "%SRCROOT%"}
    return {"uri": path.as_uri() if path.is_absolute() else urllib.parse.quote(path.as_posix())}

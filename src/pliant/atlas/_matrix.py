"""The matrix at a glance."""

from typing import Any

from pliant.atlas import numbers
from pliant.atlas._grid import Grid, Row, differing
from pliant.atlas._html import Markup, join, tag
from pliant.atlas.states import LOOKS, status_of


def matrix(grid: Grid, titles: dict[str, str]) -> Markup:
    """The table of every system under every dynamics (rows) by every estimator (columns)."""
    head = tag("tr", tag("th", "system · dynamics", scope="col"), [tag("th", e, scope="col") for e in grid.estimators])
    bodies = [_section(grid, system, title_of(system, titles)) for system in grid.sections]
    width = f"--columns: {len(grid.estimators)}"
    return tag("table", tag("thead", head), bodies, class_="matrix", style=width)


def title_of(system: str, titles: dict[str, str]) -> str:
    """The full name of a system, or its short name in words."""
    return titles.get(system) or system.replace("_", " ").capitalize()


def _section(grid: Grid, system: str, title: str) -> Markup:
    name = tag("th", title, class_="system", scope="rowgroup", colspan=len(grid.estimators) + 1)
    return tag("tbody", tag("tr", name), [_line(grid, system, dynamics) for dynamics in grid.sections[system]])


def _line(grid: Grid, system: str, dynamics: str) -> Markup:
    cells = [grid.entries.get((system, dynamics, estimator), []) for estimator in grid.estimators]
    asked = [group for group in cells if group]
    # A cell that was measured knows the parameter and the truth; its setting is that of the whole line.
    shown = next((group[0] for group in asked if group[0]["state"] == "done"), asked[0][0])
    head = tag("th", tag("b", dynamics), _truth(shown), _setting(shown), class_="dynamics", scope="row")
    pairs = zip(grid.estimators, cells, strict=True)
    return tag("tr", head, [tag("td", _entry(group), data_estimator=name) for name, group in pairs])


def _truth(row: Row) -> Markup | None:
    if row["state"] != "done":
        return None
    name = tag("span", f"∂/∂ {row['components'][0]['parameter']}", class_="parameter")
    if row["truth"] is None:
        return join(name, tag("span", "no truth known", class_="aside"))
    value = numbers.known(row["truth"], row["truth_error"])
    kind = "stationary truth" if row["truth_of"] == "exact stationary" else "truth"
    return join(name, tag("span", f"{kind} {value}", class_="aside"))


def _setting(row: Row) -> Markup:
    return tag("span", f"dt {row['dt']:g} · T {row['horizon']} · {row['replicas']} replicas", class_="aside")


def _entry(group: list[Row]) -> Markup:
    if not group:
        return tag("span", "not in this configuration", class_="unasked")
    if len(group) == 1:
        return _face(group[0])
    ordered = sorted(group, key=lambda row: (row["horizon"], row["dt"], row["replicas"]))
    pairs = zip(ordered, differing(ordered), strict=True)
    chips = [_chip(row, words, shown=row is group[0]) for row, words in pairs]
    return join(_face(group[0]), tag("div", chips, class_="chips"))


def _face(row: Row) -> Markup:
    status = status_of(row)
    why = row.get("reason") or row.get("error") or " ".join(row.get("reasons", [])) or None
    content = _numbers(row) if row["state"] == "done" else tag("span", why or "not measured yet", class_="why")
    return tag("button", badge(status), content, class_=f"cell {status}", type="button", data_cell=row["id"], title=why)


def badge(status: str) -> Markup:
    """A verdict or state as a sign and a word."""
    look = LOOKS[status]
    return tag("span", tag("i", look.sign, aria_hidden="true"), f" {look.word}", class_=f"badge {status}")


def _numbers(row: Row) -> Markup:
    facts: list[Any] = [
        ("z", numbers.signed(row["z_score"])),
        ("SNR", numbers.plain(row["snr"])),
        ("", numbers.seconds(row["seconds"])),
        ("", numbers.size(row["bytes"])),
    ]
    spans = [tag("span", tag("small", name), " " if name else "", value) for name, value in facts]
    value = tag("span", numbers.with_error(row["value"], row["standard_error"]), class_="value")
    return join(value, tag("span", spans, class_="facts"))


def _chip(row: Row, words: str, shown: bool) -> Markup:
    status = status_of(row)
    look = LOOKS[status]
    sign = tag("i", look.sign, aria_hidden="true")
    label = f"{words}: {look.word}"
    style = f"chip {status} shown" if shown else f"chip {status}"
    return tag("button", sign, f" {words}", class_=style, type="button", data_cell=row["id"], aria_label=label)

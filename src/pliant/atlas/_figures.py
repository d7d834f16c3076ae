"""What the figures show, as plain data: the page's script gives it colours and axes."""

from typing import Any

from pliant.atlas._grid import Grid, Row
from pliant.atlas._matrix import title_of
from pliant.atlas.numbers import plain, seconds, signed

TARGET_SNR = 10.0


def figures(grid: Grid, titles: dict[str, str]) -> dict[str, Any]:
    """Lists of panels: SNR against horizon, error against truth, cost at equal SNR, bias against the time step."""
    systems = {system: title_of(system, titles) for system in grid.sections}
    return {
        "estimators": grid.estimators,
        "snr": [panel for system, title in systems.items() for panel in _sweeps(grid, system, title)],
        "truth": [p for system, title in systems.items() if (p := _panel(grid, system, title, _deviations))],
        "cost": [p for system, title in systems.items() if (p := _panel(grid, system, title, _cost))],
        "bias": [panel for system, title in systems.items() for panel in _biases(grid, system, title)],
    }


def _sweeps(grid: Grid, system: str, title: str) -> list[dict[str, Any]]:
    """A panel for every dynamics under which some estimator ran at several horizons."""
    panels = []
    for dynamics in grid.sections[system]:
        series = {e: _sweep(grid.entries.get((system, dynamics, e), [])) for e in grid.estimators}
        if any(len(points) > 1 for points in series.values()):
            panels.append({"title": f"{title} · {dynamics}", "series": {e: p for e, p in series.items() if p}})
    return panels


def _sweep(rows: list[Row]) -> list[dict[str, Any]]:
    """The points of the longest run of cells that differ in their horizon alone."""
    alike: dict[tuple, dict[int, Row]] = {}
    for row in rows:
        if _positive(row, "snr"):
            alike.setdefault((row["dt"], row["replicas"], row["precision"]), {})[row["horizon"]] = row
    longest = max(alike.values(), key=len, default={})
    return [_point(row, T, row["snr"], f"T {T}: SNR {plain(row['snr'])}") for T, row in sorted(longest.items())]


def _biases(grid: Grid, system: str, title: str) -> list[dict[str, Any]]:
    """A panel for every dynamics under which some estimator is off the discretised dynamics: its bias against dt."""
    panels = []
    for dynamics in grid.sections[system]:
        series = {e: _bias(grid.entries.get((system, dynamics, e), [])[:1]) for e in grid.estimators}
        if any(series.values()):
            panels.append({"title": f"{title} · {dynamics}", "series": {e: p for e, p in series.items() if p}})
    return panels


def _bias(rows: list[Row]) -> list[dict[str, Any]]:
    points = [(row, entry) for row in rows for entry in row.get("bias") or [] if entry["difference"]]
    return [_point(row, b["dt"], b["difference"] / b["size"], _order(b)) for row, b in points if b["size"]]


def _order(bias: Row) -> str:
    order = "" if bias["order"] is None else f", order {bias['order']:.2f}"
    return f"dt {bias['dt']:g}: {bias['difference'] / bias['size']:.2g} of the gradient{order}"


def _panel(grid: Grid, system: str, title: str, points_of: Any) -> dict[str, Any] | None:
    lines = grid.sections[system]
    series = {
        estimator: [
            {**point, "line": line}
            for line, dynamics in enumerate(lines)
            for row in grid.entries.get((system, dynamics, estimator), [])[:1]
            for point in points_of(row)
        ]
        for estimator in grid.estimators
    }
    present = {estimator: points for estimator, points in series.items() if points}
    return {"title": title, "lines": lines, "series": present} if present else None


def _deviations(row: Row) -> list[dict[str, Any]]:
    components = row["components"] if row["state"] == "done" else []
    return [
        {**_point(row, c["z_score"], None, f"{c['parameter']}: z {signed(c['z_score'])}"), "headline": index == 0}
        for index, c in enumerate(components)
        if c["z_score"] is not None
    ]


def _cost(row: Row) -> list[dict[str, Any]]:
    if not (_positive(row, "snr") and _positive(row, "seconds")):
        return []
    cost = row["seconds"] * (TARGET_SNR / row["snr"]) ** 2
    return [_point(row, cost, None, f"{seconds(cost)} to SNR {TARGET_SNR:g}; {seconds(row['seconds'])} as run")]


def _point(row: Row, x: float, y: float | None, words: str) -> dict[str, Any]:
    return {"x": x, "y": y, "words": words, "cell": row["id"], "hollow": row["verdict"] == "untrusted"}


def _positive(row: Row, key: str) -> bool:
    return row["state"] == "done" and row[key] is not None and row[key] > 0

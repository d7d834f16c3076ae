"""Draws the plots of this folder from `matrix.csv`: `python docs/atlas/draw.py`. Needs plotly, and Chromium for the SVG.

`matrix.csv` is what `pliant atlas status FOLDER --csv` prints for a folder of `pliant atlas run matrix`.
"""

import csv
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

HERE = Path(__file__).parent
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#666666")
# What a cell of the map shows, from best to worst.
KINDS = {
    "trusted, |z| < 3": "#2a9d55",
    "trusted, |z| ≥ 3": "#e6308a",
    "trusted, no truth": "#9fd8b4",
    "imprecise": "#f2cf63",
    "not trusted": "#d9825b",
    "not applicable": "#d9d9de",
    "failed": "#000000",
}
Row = dict[str, str]


def main(table: Path = HERE / "matrix.csv") -> None:
    """Every plot, as SVG beside the table."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    figures = {"map": overview(rows), "horizon": against_horizon(rows), "cost": cost(rows)}
    for name, text in zip(figures, rendered(list(figures.values())), strict=True):
        (HERE / f"{name}.svg").write_text(text, encoding="utf-8")


def overview(rows: list[Row]) -> go.Figure:
    """Systems and dynamics down, estimators across, coloured by what came of the first cell of each."""
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        first.setdefault((f"{row['system']} · {row['dynamics']}", estimator(row)), row)
    lines, columns = (list(dict.fromkeys(key[axis] for key in first)) for axis in (0, 1))
    kinds = list(KINDS)
    place = {key: kinds.index(kind(row)) for key, row in first.items() if kind(row) in KINDS}
    places = [[place.get((line, column)) for column in columns] for line in lines]
    steps = [
        step for index, colour in enumerate(KINDS.values()) for step in ((index / 7, colour), ((index + 1) / 7, colour))
    ]
    bar = dict(tickvals=list(range(7)), ticktext=kinds, len=0.5, y=0.99, yanchor="top")
    heat = go.Heatmap(z=places, x=columns, y=lines, zmin=-0.5, zmax=6.5, colorscale=steps, xgap=1, ygap=1, colorbar=bar)
    axis = dict(side="top", tickangle=-60)
    return styled(go.Figure(heat), 1150, 22 * len(lines) + 260).update_layout(
        xaxis=axis, yaxis=dict(autorange="reversed")
    )


def kind(row: Row) -> str:
    """The colour of a cell, by name."""
    if row["state"] != "done":
        return row["state"].replace("_", " ")
    if row["verdict"] != "trusted":
        return {"untrusted": "not trusted"}.get(row["verdict"], row["verdict"])
    if not row["z_score"]:
        return "trusted, no truth"
    return "trusted, |z| < 3" if abs(float(row["z_score"])) < 3 else "trusted, |z| ≥ 3"


def against_horizon(rows: list[Row]) -> go.Figure:
    """SNR against the horizon on the double well, hollow where it is not to be trusted."""
    found = [row for row in rows if row["system"] == "double_well" and row["snr"] and not row["options"]]
    laws = [law for law in ("OverdampedLangevin", "BAOAB") if any(row["dynamics"] == law for row in found)]
    figure = make_subplots(cols=len(laws), subplot_titles=laws)
    shown: set[str] = set()
    for column, law in enumerate(laws, start=1):
        for name, points in by_estimator([row for row in found if row["dynamics"] == law]).items():
            points.sort(key=lambda row: int(row["horizon"]))
            x, y = ([float(row[key]) for row in points] for key in ("horizon", "snr"))
            figure.add_trace(scatter(rows, name, points, x, y, "lines+markers", name not in shown), row=1, col=column)
            shown.add(name)
    # The same axis for both; what solves on a grid, without sampling, lies far above it.
    figure.update_xaxes(type="log", title="horizon (steps)").update_yaxes(type="log", title="SNR", range=[-0.8, 2.4])
    return styled(figure, 1100, 700)


def cost(rows: list[Row]) -> go.Figure:
    """Seconds to an SNR of ten on the double well with harmonic coordinates: noise falls as the root of replicas."""
    found = [row for row in rows if row["system"] == "double_well_bath" and row["snr"] and row["seconds"]]
    figure = go.Figure()
    for name, points in by_estimator([row for row in found if not row["options"]]).items():
        seconds = [float(row["seconds"]) * (10 / float(row["snr"])) ** 2 for row in points]
        figure.add_trace(scatter(rows, name, points, seconds, [row["dynamics"] for row in points], "markers", True))
    figure.update_xaxes(type="log", title="seconds to SNR 10")
    return styled(figure, 1000, 640)


def scatter(rows: list[Row], name: str, points: list[Row], x: list, y: list, mode: str, legend: bool) -> go.Scatter:
    """Marks of one estimator, the same in every plot."""
    place = list(dict.fromkeys(map(estimator, rows))).index(name)
    shape = SYMBOLS[(place + place // 8) % 8]
    shapes = [shape + ("-open" if row["verdict"] == "untrusted" else "") for row in points]
    marker = dict(symbol=shapes, color=COLOURS[place % 8], size=9)
    return go.Scatter(x=x, y=y, mode=mode, name=name, legendgroup=name, showlegend=legend, marker=marker)


def by_estimator(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows under the names of their estimators."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(estimator(row), []).append(row)
    return found


def estimator(row: Row) -> str:
    """The name of an estimator with its options."""
    return f"{row['estimator']} {row['options']}".strip()


def styled(figure: go.Figure, width: int, height: int) -> go.Figure:
    """Plain, on white."""
    font = dict(family="sans-serif", size=13)
    return figure.update_layout(template="simple_white", width=width, height=height, font=font)


def rendered(figures: list[go.Figure]) -> list[str]:
    """Every figure as SVG, drawn by Plotly in a headless Chromium."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    with tempfile.TemporaryDirectory() as folder, webdriver.Chrome(options=options) as browser:
        page = Path(folder) / "page.html"
        page.write_text(f"<meta charset='utf-8'><script>{get_plotlyjs()}</script>", encoding="utf-8")
        browser.get(page.as_uri())
        return [_svg(browser, json.loads(figure.to_json())) for figure in figures]


def _svg(browser: Any, figure: dict) -> str:
    script = """
        const [figure, done] = arguments;
        const {width, height} = figure.layout;
        Plotly.toImage(figure, {format: "svg", width, height}).then((url) => done(decodeURIComponent(url.split(",")[1])));
    """
    return browser.execute_async_script(script, figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

"""The report: one HTML file that needs no network."""

import json
import math
import os
import re
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

from pliant.atlas._details import details
from pliant.atlas._figures import figures
from pliant.atlas._grid import Row, grid
from pliant.atlas._html import Markup, join, tag
from pliant.atlas._matrix import badge, matrix
from pliant.atlas.errors import MissingLibrary
from pliant.atlas.numbers import seconds
from pliant.atlas.rows import rows
from pliant.atlas.states import LOOKS, status_of
from pliant.atlas.store import Store

FILE = "report.html"
_BAND = 1.96


def write(folder: Path) -> Path:
    """Write the report of the atlas in `folder` beside its store, whole or not at all, and say where.

    Raises `StoreError` where there is no atlas, and `MissingLibrary` without plotly.
    """
    store = Store.open(folder)
    page = render(rows(store), store.specification())
    store.close()
    path = folder / FILE
    draft = path.with_suffix(".part")
    draft.write_text(page, encoding="utf-8")
    os.replace(draft, path)
    return path


def render(table: list[Row], about: dict[str, Any]) -> str:
    """The page for a table of cells and the specification of the run."""
    layout = grid(table)
    titles = about["titles"]
    parts = {
        "title": join(about["title"]),
        "summary": _summary(table, about),
        "matrix": matrix(layout, titles),
        "details": join([details(row, titles) for row in table]),
        "configuration": join(about["text"]),
        "style": _shipped("report.css"),
        "script": _shipped("report.js"),
        "plotly": _plotly(),
        "figures": _embedded(figures(layout, titles)),
    }
    return re.sub(r"<!--(\w+)-->", lambda match: parts[match[1]], _shipped("report.html"))


def _summary(table: list[Row], about: dict[str, Any]) -> Markup:
    counts = Counter(map(status_of, table))
    verdicts = [tag("li", tag("b", counts[key]), " ", badge(key)) for key in LOOKS if counts[key]]
    facts = [f"{len(table)} cells", _agreement(table), _time(table), f"seed {about['seed']}"]
    versions = " · ".join(f"{library} {version}" for library, version in about["versions"].items())
    return join(
        tag("ul", verdicts, class_="verdicts"),
        tag("p", " · ".join(filter(None, facts)), class_="facts"),
        tag("p", versions, class_="aside"),
    )


def _agreement(table: list[Row]) -> str | None:
    """How many components lie in the band that holds 95 % of honest ones; untrusted gradients stay out.

    So do truths of the stationary state, from which a finite step and horizon deviate by more than chance.
    """
    scores = [
        component["z_score"]
        for row in table
        if row["state"] == "done" and row["verdict"] != "untrusted" and row["truth_of"] == "discretised"
        for component in row["components"]
        if component["z_score"] is not None
    ]
    if not scores:
        return None
    inside = sum(abs(score) <= _BAND for score in scores)
    return f"{inside} of {len(scores)} components that are not marked untrusted lie within ±{_BAND} of an exact truth"


def _time(table: list[Row]) -> str:
    done = [row for row in table if row["state"] == "done"]
    run, compiling = (math.fsum(row[key] for row in done) for key in ("seconds", "compile_seconds"))
    return f"{seconds(run)} of running and {seconds(compiling)} of compiling"


def _embedded(data: Any) -> str:
    # Within a script element `</script>` and `<!--` end or change the text, whatever quotes stand around them.
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _shipped(name: str) -> str:
    return (resources.files("pliant.atlas") / "page" / name).read_text(encoding="utf-8")


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingLibrary("The report needs plotly: pip install 'pliant[atlas]'.") from None
    return get_plotlyjs().replace("</script", "<\\/script")

"""Tables of estimates for a terminal."""

import io
from typing import Any

import jax
import numpy as np

from pliant.core import trees

_COLOUR = {"trusted": "green", "imprecise": "yellow", "untrusted": "red"}
_ROWS = 20


def table(estimate: Any) -> Any:
    """A rich renderable: one row a parameter, then the observable and the verdict."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = Table(title=f"{estimate.estimator} over {estimate.replicas} replicas", title_justify="left")
    for heading in ("parameter", "gradient", "standard error", "value / error"):
        rows.add_column(heading, justify="left" if heading == "parameter" else "right")
    listed = list(
        zip(trees.names(estimate.value), _numbers(estimate.value), _numbers(estimate.standard_error), strict=True)
    )
    for name, value, error in listed[:_ROWS]:
        rows.add_row(Text(name), f"{value:.6g}", f"{error:.2g}", f"{abs(value) / error:.1f}" if error > 0 else "-")
    if len(listed) > _ROWS:
        rows.add_row(Text(f"... and {len(listed) - _ROWS} more"), "", "", "")
    return Group(rows, *_lines(estimate))


def _lines(estimate: Any) -> list[Any]:
    from rich.text import Text

    verdict = estimate.verdict
    lines = [Text(f"observable {estimate.observable}; snr {estimate.snr:.3g}")]
    lines.append(Text(f"verdict: {verdict.level}", style=f"bold {_COLOUR[verdict.level]}"))
    lines += [Text(f"  - {reason}") for reason in verdict.reasons]
    return lines + [Text(f"  note: {note}", style="dim") for note in verdict.notes]


def _numbers(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in jax.tree.leaves(tree)])


def as_text(estimate: Any) -> str:
    """The table as plain text."""
    from rich.console import Console

    buffer = io.StringIO()
    Console(file=buffer, width=110, no_color=True).print(table(estimate))
    return buffer.getvalue().rstrip()

"""What the pages of the gallery share: a mean with its error bar, a table, and a plot."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import plotly.graph_objects as go
from rich.console import Console
from rich.table import Table

import pliant


def averaged(derivative: Callable[[Any, Any], Any], theta: Any, runs: int = 4096, seed: int = 0) -> tuple[float, float]:
    """The mean of `derivative(theta, key)` over keys, and its standard error."""
    keys = jax.random.split(jax.random.key(seed), runs)
    samples = np.asarray(_over_keys(derivative)(theta, keys), float)
    return float(samples.mean()), float(samples.std(ddof=1) / np.sqrt(runs))


@functools.cache
def _over_keys(derivative: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Compiled once a derivative, however often it is asked for."""
    return jax.jit(jax.vmap(derivative, (None, 0)))


def curve(derivative: Callable[[Any, Any], Any], thetas: Any, runs: int = 256) -> list[float]:
    """The mean of `derivative(theta, key)` over keys at every theta."""
    keys = jax.random.split(jax.random.key(1), runs)
    mean = lambda theta: jnp.mean(jax.vmap(derivative, (None, 0))(theta, keys))
    return np.asarray(jax.jit(lambda thetas: jax.lax.map(mean, thetas))(jnp.asarray(thetas))).tolist()


def show(report: pliant.lint.Report, gradients: dict[str, tuple[float, float | None]], exact: float) -> None:
    """The linter's report, then every derivative with its error bar and its distance from the exact one."""
    table = Table("derivative", "value", "standard error", "z")
    for name, (value, error) in gradients.items():
        # An error bar of rounding alone has no z.
        z = f"{(value - exact) / error:.1f}" if error and error > 1e-6 * abs(value) else ""
        table.add_row(name, f"{value:.5g}", f"{error:.2g}" if error else "", z)
    table.add_row("exact", f"{exact:.5g}")
    console = Console(width=120)
    console.print(report.table(), table)


def plot(
    name: str,
    title: str,
    x: Sequence[float],
    curves: dict[str, Sequence[float]],
    axis: str,
    value: str = "derivative",
    logarithmic: str = "",
) -> None:
    """Curves over the parameter, in `out/rogues/NAME.html` or the folder that PLIANT_OUT names.

    `value` names the vertical axis; `logarithmic` the axes that are: "x", "y" or "xy".
    """
    figure = go.Figure([go.Scatter(x=x, y=y, name=label, mode="lines") for label, y in curves.items()])
    figure.update_layout(
        title=title, xaxis_title=axis, yaxis_title=value, template="plotly_white", width=820, height=480
    )
    kinds = {letter: "log" if letter in logarithmic else "linear" for letter in "xy"}
    # One label a decade, and written out: 10⁻³ rather than 1m.
    figure.update_xaxes(type=kinds["x"], exponentformat="power", dtick=1 if kinds["x"] == "log" else None)
    figure.update_yaxes(type=kinds["y"], exponentformat="power")
    folder = Path(os.environ.get("PLIANT_OUT", "out")) / "rogues"
    folder.mkdir(parents=True, exist_ok=True)
    figure.write_html(folder / f"{name}.html")
    print(f"plot: {folder / name}.html")

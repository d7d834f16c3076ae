"""What is installed, on which devices, in which precision; and one gradient held against its exact value."""

import dataclasses
import platform
import time
from importlib import metadata

from rich.console import Console
from rich.table import Table

from pliant.atlas.cell import Comparison
from pliant.atlas.driver import cores
from pliant.atlas.numbers import plain, seconds, signed, with_error

_NEEDED = ("pliant", "jax", "jaxlib", "equinox", "lineax", "optimistix", "numpy")
_EXTRAS = {"openmm": "molecules", "plotly": "atlas", "distributed": "cluster"}
# Chance puts an honest check beyond this once in two million runs.
_ALARM = 5.0


def examine() -> bool:
    """Print what there is and a check of a few seconds; True where the check passed."""
    console = Console()
    console.print(_installation())
    check = self_check()
    console.print(
        f"\n[bold]Self-check[/] d⟨x²⟩/dk of an Ornstein-Uhlenbeck process after {_STEPS} steps, by ForwardSensitivity",
        f"\n  estimate {with_error(check.value, check.error)}   exact {plain(check.truth, 5)}   z {signed(check.z)}"
        f"   verdict {check.verdict}   {seconds(check.seconds)} with compiling",
        highlight=False,
    )
    console.print(
        "  [green]passed[/]" if check.passed else "  [bold red]failed[/]: this installation is not to be trusted."
    )
    return check.passed


@dataclasses.dataclass(frozen=True)
class Check:
    """A gradient beside its exact value; `z` is None where the estimate is not finite or has no error bar."""

    value: float
    error: float
    truth: float
    z: float | None
    verdict: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the estimate agrees with the truth within what chance allows."""
        return self.z is not None and abs(self.z) < _ALARM and self.verdict == "trusted"


_STIFFNESS, _TEMPERATURE, _STEP, _STEPS, _REPLICAS = 1.0, 1.0, 0.01, 200, 4096


def self_check() -> Check:
    """The derivative of the final variance of an Ornstein-Uhlenbeck process with respect to its stiffness."""
    import jax
    import jax.numpy as jnp

    import pliant
    from pliant.dynamics.overdamped_langevin import OverdampedLangevin
    from pliant.estimators.forward_sensitivity import ForwardSensitivity
    from pliant.observables.final import Final
    from pliant.potentials.harmonic import Harmonic

    start = time.perf_counter()
    spring = Harmonic(k=jnp.array(_STIFFNESS))
    law = OverdampedLangevin(spring, x0=jnp.zeros(1), dt=_STEP, kT=_TEMPERATURE)
    estimate = pliant.gradient(
        law,
        Final(lambda state: jnp.sum(state.position**2)),
        ForwardSensitivity(),
        horizon=_STEPS,
        replicas=_REPLICAS,
        key=jax.random.key(0),
        wrt=lambda law: law.potential.k,
        progress=False,
    )
    value, error = float(estimate.value), float(estimate.standard_error)
    z = Comparison(value, error, exact_derivative(), 0.0).z_score
    return Check(value, error, exact_derivative(), z, estimate.verdict.level, time.perf_counter() - start)


def exact_derivative() -> float:
    """The exact value of what `self_check` estimates.

    From x_0 = 0, the Euler-Maruyama step x' = q x + sqrt(2 kT dt) w with q = 1 - k dt (friction one) gives after n
    steps the variance 2 kT dt (1 - q^2n) / (1 - q^2), and dq/dk = -dt.
    """
    q, n = 1 - _STIFFNESS * _STEP, _STEPS
    slope = (-2 * n * q ** (2 * n - 1) * (1 - q * q) + 2 * q * (1 - q ** (2 * n))) / (1 - q * q) ** 2
    return -_STEP * 2 * _TEMPERATURE * _STEP * slope


def _installation() -> Table:
    import jax
    import jax.numpy as jnp

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("python", f"{platform.python_version()} on {platform.platform(terse=True)}, {cores()} cores")
    for library in _NEEDED:
        table.add_row(library, _version(library) or "[red]not installed[/]")
    for library, extra in _EXTRAS.items():
        table.add_row(
            library, _version(library) or f"not installed; needed for {extra}: pip install 'pliant\\[{extra}]'"
        )
    table.add_row(
        "devices", ", ".join(f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices())
    )
    table.add_row(
        "precision", f"{jnp.result_type(float)} by default; `jax.config.update('jax_enable_x64', True)` for float64"
    )
    return table


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None

"""The numbers on this page that cannot be read off `matrix.csv` line by line: `python docs/atlas/findings.py`."""

import csv
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp

import pliant
from pliant.core.errors import NotApplicable
from pliant.diagnostics import lyapunov_exponent, moment_lyapunov_exponent
from pliant.dynamics import BAOAB, ESH, NoseHooverChain, OverdampedLangevin, VelocityVerlet
from pliant.estimators import Girsanov, Implicit, Reweighting
from pliant.observables import TimeAverage
from pliant.potentials import DoubleWell
from pliant.systems import DoubleWellBath, DoubleWellSystem, DrivenRing


def counts() -> None:
    """Cells of every estimator: all, not applicable, trusted, trusted with a truth and within three standard errors of it."""
    with (Path(__file__).parent / "matrix.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    trusted = [row for row in rows if row["verdict"] == "trusted"]
    judged = [row for row in trusted if row["z_score"]]
    right = [row for row in judged if abs(float(row["z_score"])) < 3]
    absent = [row for row in rows if row["state"] == "not_applicable"]
    columns = [Counter(row["estimator"] for row in part) for part in (rows, absent, trusted, judged, right)]
    print("| estimator | cells | not applicable | trusted | with a truth | within 3 standard errors |")
    for name in (*columns[0], None):
        print(
            "|",
            " | ".join([name or "all", *(str(column[name] if name else column.total()) for column in columns)]),
            "|",
        )
    seconds = sum(float(row[key] or 0) for row in rows for key in ("seconds", "compile_seconds"))
    print(f"{seconds / 3600:.1f} core-hours at most: gradients and compilation")


def barriers() -> None:
    """Typical, mean and mean-square growth of a tangent in a double well: the last explodes without any chaos."""
    for a in (0.25, 0.5, 1.0, 2.0, 4.0):
        law = OverdampedLangevin(DoubleWell(jnp.array(a), jnp.array(0.0)), x0=jnp.zeros(1), dt=0.005, kT=1.0)
        first, second = (moment_lyapunov_exponent(law, p, method="grid")[0] for p in (1.0, 2.0))
        small = moment_lyapunov_exponent(law, 1e-3, method="grid")[0] / 1e-3
        print(f"a / kT = {a:g}: lambda = {small:.3f}, Lambda(1) = {first:.3f}, Lambda(2) = {second:.3f}")


def covariance() -> None:
    """The covariance formula on a ring that is driven out of equilibrium, beside the steady state itself."""
    system = DrivenRing()
    law, observable = system.law(OverdampedLangevin, 0.01), system.observable()
    solved = pliant.gradient(law, observable, Implicit("grid", box=((0.0, 2 * jnp.pi),), periodic=True), wrt=system.wrt)
    for name, leaf, error in zip(
        ("A", "f"), jax.tree.leaves(solved.value), jax.tree.leaves(solved.standard_error), strict=True
    ):
        print(f"driven ring: d<cos 2x>/d{name} = {leaf[0]:.6f} +- {error[0]:.1e}")
    average = TimeAverage(lambda state: jnp.cos(2 * state.position[0]), burn_in=400)
    product = TimeAverage(lambda state: jnp.cos(2 * state.position[0]) ** 2, burn_in=400)
    run = dict(horizon=2000, replicas=4096, key=jax.random.key(0), progress=False)
    first, second = (pliant.expectation(law, found, **run).value for found in (average, product))
    print(f"driven ring: the covariance formula gives d<cos 2x>/dA = {-(second - first**2) / law.kT:.3f}")


def densities() -> None:
    """What is said where the density of a path is singular."""
    system = DoubleWellSystem()
    for dynamics, estimator in (
        (VelocityVerlet, Girsanov()),
        (VelocityVerlet, Reweighting()),
        (BAOAB, Implicit("window")),
    ):
        law, observable = system.law(dynamics, 0.05), system.observable(10)
        try:
            pliant.gradient(law, observable, estimator, horizon=100, replicas=8, key=jax.random.key(0), wrt=system.wrt)
        except NotApplicable as refusal:
            print(f"{dynamics.__name__}, {type(estimator).__name__}: {refusal}")


def chaos() -> None:
    """The leading Lyapunov exponents of the deterministic dynamics of the well beside springs."""
    for dynamics in (ESH, NoseHooverChain, VelocityVerlet):
        law = DoubleWellBath().law(dynamics, 0.05)
        exponents, errors = lyapunov_exponent(law, horizon=20_000, replicas=8, exponents=1, key=jax.random.key(0))
        print(f"{dynamics.__name__}: lambda_1 = {exponents[0]:.3f} +- {errors[0]:.3f} per unit of its time")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    for part in (counts, barriers, covariance, densities, chaos):
        part()

"""One gradient by five estimators, and what the verdicts say.

How does the mean square position in a double well change with its barrier? The exact stationary answer is -0.02709.
"""

import jax
import jax.numpy as jnp
from rich.console import Console

import pliant
from pliant.dynamics import OverdampedLangevin
from pliant.estimators import BPTT, FiniteDifference, ForwardSensitivity, Girsanov, Reweighting
from pliant.observables import TimeAverage
from pliant.potentials import DoubleWell

EXACT = -0.027092302768


def main() -> None:
    law = OverdampedLangevin(DoubleWell(a=jnp.array(1.0), b=jnp.array(0.0)), x0=jnp.zeros(1), dt=0.01, kT=1.0)
    observable = TimeAverage(lambda state: jnp.sum(state.position**2), burn_in=500)
    console = Console()
    for estimator in (Reweighting(), Girsanov(), BPTT(), ForwardSensitivity(), FiniteDifference()):
        estimate = pliant.gradient(law, observable, estimator, horizon=2000, replicas=1024, key=jax.random.key(0),
                                   wrt=lambda law: law.potential)  # fmt: skip
        z = (estimate.value.a - EXACT) / estimate.standard_error.a
        console.print(estimate, f"z-score of d/da against the stationary truth: {z:.1f}\n")


if __name__ == "__main__":
    main()

"""Sampling noise: electrons drift to a pad and diffuse; the draws hide how their spread depends on the diffusion.

After the time t an electron lands at x ~ N(0, s^2) with s^2 = 2 D t. A pad of width w at x0 sees exp(-(x - x0)^2 / 2 w^2)
of it. The average is that of two Gaussians, E = w/v exp(-x0^2 / 2 v^2) with v^2 = w^2 + s^2, and its derivative by D is
E (x0^2 / v^4 - 1 / v^2) t (Einstein, Ann. Phys. 322, 549 (1905), for s).

Samples that come from elsewhere are numbers: the derivative through them is lost. Written as s times a normal number they
move with D (reparametrisation), and a narrow pad makes that noisy: its slope is 1/w. The score function asks how much
likelier a sample becomes; it does not care how narrow the pad is. The plot shows where they cross.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _page import averaged, plot, show

import pliant
from pliant.estimators import BPTT, ScoreFunction
from pliant.observables import Final

DIFFUSION, TIME, PAD, WIDTH = 0.5, 1.0, 1.5, 0.3
WIDTHS = np.array([0.1, 0.17, 0.3, 0.55, 1.0, 1.7, 3.0])
REPLICAS = 40000


def spread(diffusion: jax.Array) -> jax.Array:
    return jnp.sqrt(2 * diffusion * TIME)


def charge(x: jax.Array, width: float | np.ndarray = WIDTH) -> jax.Array:
    return jnp.exp(-0.5 * ((x - PAD) / width) ** 2)


def from_elsewhere(diffusion: jax.Array, key: jax.Array) -> jax.Array:
    """As with samples from a file or another program."""
    return charge(jax.lax.stop_gradient(spread(diffusion) * jax.random.normal(key)))


class Drift(pliant.HasPathDensity):
    """An electron's way to the pads, in one step; its noise is declared, and its density known."""

    diffusion: jax.Array = eqx.field(default_factory=lambda: jnp.array(DIFFUSION))
    noise = pliant.Normal(())

    def init(self, key: jax.Array) -> jax.Array:
        return jnp.zeros(())

    def step(self, state: jax.Array, noise: jax.Array, t: int) -> jax.Array:
        return state + spread(self.diffusion) * noise

    def path_step(self, memory: tuple, state: jax.Array, noise: tuple, next_state: jax.Array, t: int) -> tuple:
        wide = spread(self.diffusion)
        return memory, -jnp.log(wide) - 0.5 * ((next_state - state) / wide) ** 2


def estimated(estimator: pliant.Estimator) -> tuple[np.ndarray, np.ndarray]:
    """The derivative for pads of all `WIDTHS`, and its standard errors."""
    found = pliant.gradient(Drift(), Final(lambda x: charge(x, WIDTHS)), estimator, horizon=1, replicas=REPLICAS,
                            key=jax.random.key(0), progress=False)  # fmt: skip
    return np.asarray(found.value.diffusion), np.asarray(found.standard_error.diffusion)


def mean(width: float | np.ndarray) -> np.ndarray:
    square = width**2 + 2 * DIFFUSION * TIME
    return width / np.sqrt(square) * np.exp(-(PAD**2) / (2 * square))


def exact(width: float | np.ndarray) -> np.ndarray:
    square = width**2 + 2 * DIFFUSION * TIME
    return mean(width) * (PAD**2 / square**2 - 1 / square) * TIME


def main() -> None:
    report = pliant.lint(from_elsewhere, DIFFUSION, jax.random.key(0))
    assert [finding.severity for finding in report] == ["LIES"]
    plain = averaged(jax.grad(from_elsewhere), DIFFUSION)
    moved, scored = estimated(BPTT()), estimated(ScoreFunction("optimal"))
    at = WIDTHS.tolist().index(WIDTH)
    gradients = {
        "plain JAX, samples from elsewhere": plain,
        "reparametrised (BPTT)": (moved[0][at], moved[1][at]),
        "score function": (scored[0][at], scored[1][at]),
    }
    show(report, gradients, exact(WIDTH))
    assert plain == (0.0, 0.0)
    for values, errors in (moved, scored):
        assert np.all(np.abs(values - exact(WIDTHS)) < 4 * errors)
        assert errors[at] < 0.05 * exact(WIDTH)
    noise = lambda errors: (errors * np.sqrt(REPLICAS) / mean(WIDTHS)).tolist()
    curves = {"reparametrised": noise(moved[1]), "score function": noise(scored[1])}
    # A narrow pad wants the score function, a wide one the moving samples.
    assert moved[1][0] > 2 * scored[1][0] and scored[1][-1] > 2 * moved[1][-1]
    plot("sampling_noise", "The noise of one electron's derivative", WIDTHS.tolist(), curves, "width of the pad",
         "standard deviation / mean charge", logarithmic="xy")  # fmt: skip


if __name__ == "__main__":
    main()

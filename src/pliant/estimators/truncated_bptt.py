"""Backpropagation through time that is cut: reverse mode which forgets what lies further back than a window."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pliant.core.contributions import Contribution, Direct
from pliant.core.estimate import as_columns
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import Evolve, State, Step
from pliant.core.rollout import Rollout
from pliant.core.trees import stop_gradient
from pliant.core.validate import positive_whole
from pliant.core.verdict import HALF_WIDTH


class TruncatedBPTT(Estimator):
    r"""BIASED. Backpropagation through time, cut every `window` steps: there the state counts as a constant.

    A term of the observable at step n sees the parameters through the last $(n - 1) \bmod W + 1$ steps alone. On the
    Ornstein-Uhlenbeck process (factor a a step, h the time step) $d m_n / dk$ becomes
    $-h x_0 a^{n-1} [(n - 1) \bmod W + 1]$ in place of $-h x_0 a^{n-1} n$. In general the bias falls as $e^{-W h / \tau}$
    with the memory $\tau$ of the dynamics, once W h is longer than that.

    **Arguments**: `window` W >= 1, in steps. From the horizon on it is `BPTT` itself. `measure`: whether the derivative
    with a window of 2 W is taken as well, on the same trajectories. What changes is told in the verdict, as an estimate of
    the bias; the gradient is untrusted unless that change, with two standard errors of its own, is within the error bar.

    For chaos, where the full derivative explodes, and for learning, where a bias may be better than a variance. Cost: two
    reverse runs (one without `measure`), memory as `BPTT` with checkpoints. The error bar is that of the truncated
    derivative. Derivatives by initial conditions are zero past the first window.

    Source: Williams and Peng, Neural Comput. 2, 490 (1990); Metz, Freeman, Schoenholz and Kachman, arXiv:2111.05803 (2021).
    """

    window: int = eqx.field(static=True, default=50)
    measure: bool = eqx.field(static=True, default=True)
    pathwise: ClassVar[bool] = True

    def __check_init__(self) -> None:
        positive_whole("window", self.window)

    def describe(self, problem: Problem) -> str:
        return f"BIASED: a truncated derivative, which forgets what lies more than {self.window} steps back"

    def memory(self, state: int, carry: int, horizon: int) -> float:
        return (8.0 * state + 4.0 * carry) * (4 * horizon**0.5 + 256)

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        gradient, value, unfinished = _cut(problem, rollout, self.window)
        if not self.measure or self.window >= rollout.horizon:
            return Direct(value, gradient, unfinished)
        wider, *_ = _cut(problem, rollout, 2 * self.window)
        return _Truncated(value, gradient, unfinished, wider, self.window)


def _cut(problem: Problem, rollout: Rollout, window: int) -> tuple[PyTree, Array, Array | None]:
    """The derivative through the last window of steps, with the observable."""

    def observe(parameters: PyTree) -> tuple[Float[Array, "*obs"], Any]:
        live = problem.law(parameters)
        law = live if window >= rollout.horizon else _Forgetful(live, window)
        carry = rollout.carry(law, problem.observable, checkpoint=True)
        value = problem.observable.result(carry)
        return value, (value, problem.observable.unfinished(carry))

    gradient, (value, unfinished) = jax.jacrev(observe, has_aux=True)(problem.parameters)
    return gradient, value, unfinished


class _Forgetful(Evolve):
    """A law that takes its state for a constant once every `window` steps."""

    inner: Any
    window: int = eqx.field(static=True)

    def __getattr__(self, name: str) -> Any:
        # Observables look at fields of the law, such as its potential.
        if name.startswith("__") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def noise(self) -> PyTree:
        return self.inner.noise

    def init(self, key: PRNGKeyArray) -> State:
        return self.inner.init(key)

    def step(self, state: State, noise: PyTree, t: Step) -> State:
        cut = (t > 0) & (t % self.window == 0)
        kept = jax.tree.map(lambda held, x: jnp.where(cut, held, x), stop_gradient(state), state)
        return self.inner.step(kept, noise, t)

    def time(self, t: Step) -> Float[Array, ""]:
        return self.inner.time(t)

    def prepared(self) -> "_Forgetful":
        return _Forgetful(self.inner.prepared(), self.window)


class _Truncated(Direct):
    """A replica's truncated gradient, beside that of the same trajectory with twice the `window`."""

    wider: PyTree = None
    window: int = eqx.field(static=True, default=0)

    def notes(self) -> list[str]:
        change, error, size, _ = self._change()
        return [
            f"BIASED: twice the window ({2 * self.window} steps) changes the gradient by {change:.2g} ± {error:.1g}, "
            f"{100 * change / size if size > 0 else np.inf:.0f} % of its norm: an estimate of the bias."
        ]

    def findings(self) -> list[str]:
        change, error, _, own = self._change()
        if change + 2 * error <= HALF_WIDTH * own:
            return []
        resolved = change > max(4 * error, HALF_WIDTH * own)
        what = "is larger than the error bar" if resolved else "may be larger than the error bar, and is not resolved"
        return [
            f"the truncation bias {what}: a window of {2 * self.window} steps in place of {self.window} changes the "
            f"gradient by {change:.2g} ± {error:.1g}; widen the window, or use BPTT, Girsanov or Reweighting."
        ]

    def _change(self) -> list[float]:
        """The norm of the change with its standard error, and the norms of the gradient and of its standard error."""
        own, wider = as_columns(self.gradient), as_columns(self.wider)
        change = wider - own
        norms = [
            np.linalg.norm(np.mean(change, axis=0)),
            _error(change),
            np.linalg.norm(np.mean(own, axis=0)),
            _error(own),
        ]
        return [float(norm) for norm in norms]


def _error(columns: np.ndarray) -> float:
    return (
        float(np.linalg.norm(np.std(columns, axis=0, ddof=1) / np.sqrt(len(columns)))) if len(columns) > 1 else np.nan
    )

"""Whether an evolution can have a steady state that responds smoothly to its parameters."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pliant.core.errors import NotApplicable
from pliant.core.estimator import Problem
from pliant.core.noise import Noise, declared
from pliant.core.trees import state_dtype, strong

# Times, in steps, at which the same step from the same state is compared: no protocol's period is common to both.
_LATER = (1, 7919)


def check(problem: Problem) -> None:
    """Raise `NotApplicable` where the law has no noise, weighs the states that it visits, or is driven in time."""
    law = problem.law()
    name = type(law).__name__
    if not declared(law.noise):
        raise NotApplicable(
            f"{name} is deterministic: its steady state lives on an orbit or an attractor, has no density, and Poisson's "
            "equation no smooth solution; use Shadowing for a chaotic flow, BPTT for its trajectory."
        )
    if law.log_sample_weight(strong(law.init(jax.random.key(0)))) is not None:
        raise NotApplicable(
            f"the states that {name} visits are weighted, and the weights respond to the parameters too; use Reweighting."
        )
    now, *later = _steps(law, (0, *_LATER))
    if any(not np.array_equal(a, b) for after in later for a, b in zip(now, after, strict=True)):
        raise NotApplicable(
            f"the same step of {name} from the same state depends on the time: a law driven in time has no steady state; "
            "use BPTT or Girsanov."
        )


@eqx.filter_jit
def _steps(law: Any, times: tuple[int, ...]) -> list[list[Any]]:
    """What a step without noise makes of the initial state, at several times."""
    state = strong(law.init(jax.random.key(0)))

    def silent(leaf: Noise) -> Any:
        return jnp.zeros(leaf.shape, state_dtype(state) if leaf.dtype is None else leaf.dtype)

    noise = jax.tree.map(silent, law.noise, is_leaf=lambda node: isinstance(node, Noise))
    return [jax.tree.leaves(law.step(state, noise, jnp.int32(t))) for t in times]

"""The work that a driven potential does on the system."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pliant.core.laws import Evolve, State, Step
from pliant.core.observable import Observable


class Work(Observable):
    r"""The work $W = \sum_{t=0}^{T-1} [U_{t+1}(x_t) - U_t(x_t)]$ of a potential that is driven in time.

    The law's potential must offer `at(time)`, the potential at that time; one that does not is refused with ValueError.
    In this form, potential first and position second, the Jarzynski equality holds exactly for every discrete scheme
    that keeps the instantaneous Boltzmann law. The work depends on the potential's parameters explicitly as well as
    through the trajectory; both are differentiated.

    Source: Jarzynski, Phys. Rev. Lett. 78, 2690 (1997); Crooks, J. Stat. Phys. 90, 1481 (1998), equation 5; Sekimoto,
    Stochastic Energetics (2010), section 4.1.
    """

    def start(self, law: Evolve, state: State) -> Any:
        if not hasattr(getattr(law, "potential", None), "at"):
            raise ValueError(
                "Observable `Work` must be used with a law whose `potential` is driven in time by a method `at(time)`, but "
                f"the potential of this {type(law).__name__} has none: its work is zero. Use for example DrivenTrap."
            )
        if not callable(getattr(law, "potential", None)):
            raise ValueError(
                "Observable `Work` must be used with a potential that has an energy, but the force field of this "
                f"{type(law).__name__} has no energy: a drive works along the path. Write it as an Observable of your own."
            )
        return jnp.zeros((), state.position.dtype), state.position

    def update(self, carry: Any, law: Any, state: State, t: Step) -> Any:
        work, before = carry
        later, earlier = law.potential.at(law.time(t)), law.potential.at(law.time(t - 1))
        return work + later(before) - earlier(before), state.position

    def result(self, carry: Any) -> Float[Array, ""]:
        return carry[0]

"""The expectation of a program that draws, as a function whose JAX derivative is unbiased."""

from collections.abc import Callable

from jaxtyping import PRNGKeyArray, PyTree

from pliant.core.chance.discrete import options
from pliant.core.chance.expected import ESTIMATORS, Expected
from pliant.core.validate import one_of, positive_whole
from pliant.draw._pilot import cheapest

_LEAVE_ONE_OUT = 10


def expect(
    f: Callable[[PyTree, PRNGKeyArray], PyTree],
    estimator: str = "auto",
    *,
    runs: int | None = None,
    replays: int = 16,
    max_steps: int | None = None,
    jumps: str = "raise",
    pilot: tuple[PyTree, PRNGKeyArray] | None = None,
) -> Callable[[PyTree, PRNGKeyArray], PyTree]:
    r"""$\theta \mapsto \mathbb E_\text{key} f(\theta, \text{key})$, sampled, with an unbiased derivative through discrete draws.

    `S = expect(f)` is a function `S(theta, key)` that returns what `f` returns (integers as floating point numbers), and
    whose `jax.grad`, `jax.jvp` and `jax.jacrev` average to the derivative of the expectation. It may stand under `jax.jit`
    and `jax.vmap`; a mean over keys, and its error bar, are the caller's, or those of `pliant.gradient`.

    What is seen of `f`: draws of `pliant.draw`; and in programs that know nothing of this library whatever hangs on a number
    that is a monotone function of one uniform or normal number, everything else held: comparisons (`jax.random.bernoulli`,
    a Metropolis acceptance, a digital option, a barrier watched along a path), whole numbers (`floor`, `round`,
    `astype(int)`, `searchsorted` and histograms), and what `jax.random.poisson`, `geometric`, `categorical` and `choice` draw.
    Sums, running sums, matrix products, largest values and the results of loops are such functions too. They may stand in
    `jit`, `vmap`, `lax.scan`, `lax.cond`, and in the body of a `lax.while_loop` where `max_steps` bounds it.

    **Arguments**

    - `f`: a pure function of parameters (a tree; its floating point leaves are differentiated) and of one key.
    - `estimator`:
      "replay": the program is run again with one draw swapped and all keys the same, as often as `replays` says;
      "measure_valued": pairs from weak derivatives, two runs each; a draw and its replacements are independent;
      "score": the score function with a leave-one-out baseline over `runs`;
      "auto": the least variance x seconds of these, measured at `pilot`, once, when `expect` is called; without a pilot
      it is "replay" at every call, whatever it would have measured: the result depends on arguments and key alone.
    - `runs`: independent runs that a call averages: 1 by default, 10 for "score".
    - `replays`: how many swaps a run makes at most, chosen by the size of their weights where there are more alternatives.
    - `max_steps`: steps that a while loop which draws takes at most; a longer one is an error at run time.
    - `jumps`: "raise" refuses a jump (comparison, floor, argmax ...) in random numbers that depend on the parameters and whose
      probability is not known; "ignore" leaves its contribution out: right where nothing jumps, a kink for example.
    - `pilot`: parameters and a key for "auto" to measure estimators at. It compiles five of them (some ten seconds) and
      runs 256 derivatives of each; what was chosen is `S.estimator` and `S.options.replays`. Take another key than those
      of the estimates.

    **Raises** ValueError for a bad argument; `NotApplicable` when called, where a jump cannot be followed; TypeError for a
    second derivative.

    Cost of a derivative: "replay" about 3 + `replays` runs, batched, and a pilot derivative where `replays` is less than the
    number of alternatives; "score" 2 or 3 times `runs`. Without a derivative: `runs` runs of `f`.
    Validity: at thresholds on continuous noise f must be continuous but for the comparisons seen.

    Source: Gong and Ho, IEEE Trans. Autom. Control 32, 858 (1987), for smoothed perturbation analysis; Arya, Schauer,
    Schäfer and Rackauckas, NeurIPS (2022), for swapped draws in programs; Heidergott and Vázquez-Abad, J. Optim. Theory
    Appl. 136, 187 (2008), for measure-valued derivatives; Kool, van Hoof and Welling, ICLR workshop (2019).
    """
    if not callable(f):
        raise ValueError(f"Argument `f` must be a function of parameters and a key, but it was {type(f).__name__}.")
    one_of("estimator", estimator, ("auto", *ESTIMATORS))
    chosen = options(replays, max_steps, jumps)
    runs = None if runs is None else positive_whole("runs", runs)
    if estimator == "auto" and pilot is not None:
        return cheapest(f, chosen, runs, *pilot)
    name = "replay" if estimator == "auto" else estimator
    if name == "score" and runs == 1:
        raise ValueError(
            "Argument `runs` must be at least 2 for a leave-one-out baseline, but it was 1; leave it out for 10."
        )
    return Expected(f, name, runs or (_LEAVE_ONE_OUT if name == "score" else 1), chosen)

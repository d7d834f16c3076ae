"""What to call an operation in words, and what to use where its derivative lies."""

from pliant.lint._margins import COMPARISONS

_SPECTRA = "functions of projectors onto subspaces: `pliant.smooth.safe.eigh`, `safe.projector`, `safe.matrix_function`"
_DIGITS = "`pliant.smooth.digitise`"
_LARGEST = "`pliant.smooth.sort` of a width, or `jax.nn.logsumexp`"
_INVERSES = "`pliant.smooth.reparametrise.Bounded`, so that the argument stays within its domain"
_POLES = "parameters kept from the pole: `pliant.smooth.reparametrise`, or `where` around the argument too"
_RULE = "mend the rule (`jax.test_util.check_grads` shows where), or take it away: JAX differentiates what is inside"
_BY_NAME = {
    **dict.fromkeys(
        COMPARISONS, "`pliant.smooth.step` or `switch` of the difference; `pliant.expect` where noise is compared"
    ),
    "floor": _DIGITS,
    "round": _DIGITS,
    "ceil": _DIGITS,
    "convert_element_type": _DIGITS,
    "sign": "`pliant.smooth.step`",
    "is_finite": "`pliant.smooth.safe`, whose functions are finite at their edges",
    "nextafter": "adding a number of your own",
    "search_sorted": "`pliant.smooth.histogram`",
    "argmax": "`pliant.smooth.argmax`",
    "argmin": "`pliant.smooth.argmax` of the negative",
    "sort": "`pliant.smooth.sort` or `rank`",
    "top_k": "`pliant.smooth.rank` and `pliant.smooth.step` of it",
    "clamp": "`pliant.smooth.clip`",
    "max": "`pliant.smooth.threshold`",
    "min": "`pliant.smooth.threshold`",
    "reduce_max": _LARGEST,
    "reduce_min": _LARGEST,
    "cummax": _LARGEST,
    "cummin": _LARGEST,
    "reduce_window_max": _LARGEST,
    "reduce_window_min": _LARGEST,
    "select_and_scatter_add": _LARGEST,
    "rem": "`jnp.sin` and `jnp.cos` of what is periodic; the displacement `d - L * jnp.round(d / L)` is right off its edge",
    "abs": "`pliant.smooth.safe.norm`",
    "sqrt": "`pliant.smooth.safe.sqrt` or `safe.norm`",
    "rsqrt": "`pliant.smooth.safe.divide` by `safe.sqrt`",
    "cbrt": "`where` around the argument too",
    "div": "`pliant.smooth.safe.divide`, or `where` around the divisor too",
    "integer_pow": "`pliant.smooth.safe.divide`",
    "pow": "`pliant.smooth.safe.divide` where it is a negative power, `safe.sqrt` where it is a root",
    "log": "`pliant.smooth.safe.log`",
    "log1p": "`pliant.smooth.safe.log` of one and the argument",
    "atan2": "`pliant.smooth.safe.arctan2`, for the angle between vectors `safe.angle`",
    "acos": "`pliant.smooth.safe.arccos`, for the angle between vectors `safe.angle`",
    "asin": _INVERSES,
    "acosh": _INVERSES,
    "atanh": _INVERSES,
    "erf_inv": _INVERSES,
    "tan": _POLES,
    "lgamma": _POLES,
    "digamma": _POLES,
    "eigh": _SPECTRA,
    "eig": _SPECTRA,
    "svd": _SPECTRA,
    "cholesky": "a multiple of the identity added, or `pliant.smooth.safe.eigh`",
    "trace": "`jnp.where` or `jax.lax.cond`, and `pliant.lint` of that; `pliant.expect` where chance decides",
    "while": "`jax.lax.scan` over the most steps there can be",
    "stop_gradient": "take it out, or `accept` it with a reason",
    "custom_jvp_call": _RULE,
    "custom_vjp_call": _RULE,
    "custom_lin": _RULE,
}
_BY_SEVERITY = {
    "BIAS": "`pliant.expect` of f(theta, key); `pliant.draw` for what it does not see; or a score function",
    "BLOWUP": "a shorter horizon, `Shadowing`, `Implicit` or `Reweighting`",
    "JUMP": "`pliant.smooth.step` or `switch`, or an estimator that bears jumps: `Girsanov`, `ScoreFunction`",
    "BREAK": "an operation with a derivative, or a `jax.custom_jvp` for this one",
    "NAN": "`pliant.smooth.safe` where a function is at the edge of its domain; `jax.debug_nans` finds the operation",
    "LIES": "`accept` it with a reason, or estimate without derivatives: `pliant.estimators.FiniteDifference`",
    "UNKNOWN": "another look nearer to it: move the arguments there, or raise `scale` or `directions`",
    "kink": "nothing while the arguments stay off it; `pliant.smooth.threshold` else",
}
_ROUNDED_NOISE = "`pliant.expect`, or `pliant.smooth.digitise`"
# How a user writes what JAX calls otherwise.
_SPOKEN = {
    **{"lt": "`<`", "le": "`<=`", "gt": "`>`", "ge": "`>=`", "eq": "`==`", "ne": "`!=`"},
    **{
        "lt_to": "`<`",
        "le_to": "`<=`",
        "eq_to": "`==`",
        "rem": "`%`",
        "div": "`/`",
        "integer_pow": "`**`",
        "pow": "`**`",
    },
    **{"acos": "arccos", "asin": "arcsin", "atan2": "arctan2", "acosh": "arccosh", "atanh": "arctanh", "clamp": "clip"},
    **{"search_sorted": "searchsorted", "convert_element_type": "a cast", "lgamma": "gammaln", "erf_inv": "erfinv"},
    **{"reduce_max": "max", "reduce_min": "min", "max": "maximum", "min": "minimum"},
}


def spoken(name: str) -> str:
    """An operation as a user writes it."""
    return _SPOKEN.get(name, name)


def advice(severity: str, name: str) -> str:
    """What to use instead of an operation of this name."""
    if severity == "BIAS" and name in ("floor", "round", "ceil"):
        return _ROUNDED_NOISE
    # Some severities say more than the operation does.
    if severity in ("BIAS", "BLOWUP", "UNKNOWN") or (severity == "JUMP" and name in COMPARISONS):
        return _BY_SEVERITY[severity]
    return _BY_NAME.get(name) or _BY_SEVERITY.get(severity, "")

"""What to use where a derivative lies."""

_BY_NAME = {
    "floor": "`pliant.smooth.digitise`",
    "round": "`pliant.smooth.digitise`",
    "ceil": "`pliant.smooth.digitise`",
    "sort": "`pliant.smooth.sort` or `rank`",
    "argmax": "`pliant.smooth.argmax`",
    "argmin": "`pliant.smooth.argmax` of the negative",
    "sign": "`pliant.smooth.step`",
    "search_sorted": "`pliant.smooth.histogram`",
    "clamp": "`pliant.smooth.clip`",
    "max": "`pliant.smooth.threshold`",
    "min": "`pliant.smooth.threshold`",
    "abs": "`pliant.smooth.safe.norm`",
    "sqrt": "`pliant.smooth.safe.sqrt` or `safe.norm`",
    "div": "`pliant.smooth.safe.divide`, or `where` around the divisor too",
    "integer_pow": "`pliant.smooth.safe.divide`",
    "pow": "`pliant.smooth.safe.divide` where it is a negative power, `safe.sqrt` where it is a root",
    "log": "`pliant.smooth.safe.log`",
    "atan2": "`pliant.smooth.safe.angle`",
    "acos": "`pliant.smooth.safe.angle`",
    "eigh": "functions of projectors onto subspaces: `pliant.smooth.safe.eigh`",
    "trace": "`jnp.where` or `jax.lax.cond`, and `pliant.lint` of that; `pliant.draw.expect` where chance decides",
    "while": "`jax.lax.scan` over the most steps there can be",
    "stop_gradient": "take it out, or `accept` it with a reason",
}
_BY_SEVERITY = {
    "BIAS": "`pliant.expect` of f(theta, key); `pliant.draw` for what it does not see; or a score function",
    "BLOWUP": "a shorter horizon, `Shadowing`, `Implicit` or `Reweighting`",
    "JUMP": "`pliant.smooth.step` or `switch`, or an estimator that bears jumps: `Girsanov`, `ScoreFunction`",
    "BREAK": "an operation with a derivative, or a `jax.custom_jvp` for this one",
}
_ROUNDED_NOISE = "`pliant.expect`, or `pliant.smooth.digitise`"


def advice(severity: str, name: str) -> str:
    """What to use instead of an operation of this name."""
    if severity == "BIAS" and name in ("floor", "round", "ceil"):
        return _ROUNDED_NOISE
    first, second = (_BY_SEVERITY, _BY_NAME) if severity in ("BIAS", "BLOWUP") else (_BY_NAME, _BY_SEVERITY)
    keys = (severity, name) if first is _BY_SEVERITY else (name, severity)
    return first.get(keys[0], second.get(keys[1], ""))

"""Numbers as people read them: values with their errors, durations and sizes."""

import math

_WHOLE_BELOW = 1e6
_SIZES = ("B", "kB", "MB", "GB", "TB")


def with_error(value: float | None, error: float | None) -> str:
    """A value to the two leading digits of its error: `1.234 ± 0.012`; powers of ten where they are shorter."""
    if value is None:
        return "not finite"
    if error is None or error <= 0:
        return f"{plain(value)} ± {'not finite' if error is None else '0'}"
    size = max(abs(value), error)
    power = math.floor(math.log10(size))
    if -3 <= power <= 4:
        return _aligned(value, error, "")
    return _aligned(value / 10.0**power, error / 10.0**power, minus(f"e{power}"))


def known(value: float | None, error: float | None) -> str:
    """A truth: with its error where that is more than round-off, else to six digits."""
    if value is None:
        return "–"
    return with_error(value, error) if error and error > 1e-6 * abs(value) else plain(value, 6)


def _aligned(value: float, error: float, exponent: str) -> str:
    digits = min(max(1 - math.floor(math.log10(error)), 0), 8)
    text = f"{minus(f'{value:.{digits}f}')} ± {error:.{digits}f}"
    return f"({text}){exponent}" if exponent else text


def plain(value: float | None, digits: int = 3) -> str:
    """A number to a few significant digits."""
    if value is None:
        return "not finite"
    whole = 10.0**digits - 0.5 <= abs(value) < _WHOLE_BELOW
    return minus(f"{value:.0f}" if whole else f"{value:.{digits}g}")


def signed(value: float | None) -> str:
    """A z-score: its sign always, one decimal where there is room."""
    if value is None:
        return "–"
    return minus(f"{value:+.1f}" if abs(value) < 100 else f"{value:+.0f}" if abs(value) < 1e4 else f"{value:+.0e}")


def seconds(value: float | None) -> str:
    """A duration with its unit."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.3g} s" if value < 600 else f"{value / 60:.3g} min"


def size(count: float | None) -> str:
    """A number of bytes in decimal units."""
    if count is None:
        return "–"
    power = min(int(math.log10(max(count, 1)) / 3), len(_SIZES) - 1)
    return f"{count / 1000**power:.3g} {_SIZES[power]}"


def minus(text: str) -> str:
    """The text of a number with a true minus sign."""
    return text.replace("-", "\N{MINUS SIGN}")

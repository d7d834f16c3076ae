"""Reading typed values out of a TOML document, with errors that name the key and its line."""

import difflib
import math
from typing import Any

from pliant.atlas.errors import ConfigError
from pliant.atlas.toml_lines import TomlLines

AXES: tuple[str, ...] = ("dt", "horizon", "burn_in", "replicas")


class Reader:
    """Checks values of one document; every check takes the path of the value and returns it or raises `ConfigError`."""

    def __init__(self, lines: TomlLines, source: str):
        self._lines, self._source = lines, source

    def refuse(self, path: tuple, complaint: str) -> ConfigError:
        """The error for the value at `path`."""
        return ConfigError(f"{self._source}, line {self._lines.line(*path)}: {complaint}")

    def known(self, at: tuple, table: dict[str, Any], names: tuple[str, ...], kind: str = "a known key") -> None:
        """Every key of `table` is one of `names`."""
        for key in table:
            if key not in names:
                raise self.refuse((*at, key), f"`{key}` is not {kind}. {_instead(key, names)}")

    def table(self, at: tuple, parent: dict[str, Any], key: str) -> dict[str, Any]:
        """A table, empty where it is left out."""
        value = parent.get(key, {})
        if not isinstance(value, dict):
            raise self.refuse((*at, key), f"`{key}` must be a table, but it was {_shown(value)}.")
        return value

    def tables(self, path: tuple, value: Any) -> list[dict[str, Any]]:
        """A non-empty array of tables."""
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise self.refuse(path, "an atlas must have at least one table [[block]], each with two brackets.")
        return value

    def names(self, at: tuple, block: dict[str, Any], key: str, known: tuple[str, ...]) -> list[str]:
        """A non-empty list of known names, none twice; "all" stands for all of them."""
        value = block.get(key)
        if value == "all":
            return list(known)
        if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
            raise self.refuse(
                (*at, key), f'`{key}` must be a list of names or "all", but it was {_shown(value)}. {_have(known)}'
            )
        for name in value:
            if name not in known:
                raise self.refuse((*at, key), f"{name!r} in `{key}` is not installed. {_instead(name, known)}")
        return list(dict.fromkeys(value))

    def text(self, path: tuple, value: Any) -> str:
        """A string."""
        return self._typed(path, value, isinstance(value, str), "a text")

    def one_of(self, path: tuple, value: Any, choices: tuple[str, ...]) -> str:
        """One of a few strings."""
        return self._typed(path, value, value in choices, f"one of {', '.join(choices)}")

    def scalar(self, path: tuple, value: Any) -> Any:
        """A truth value, a number or a string."""
        return self._typed(path, value, isinstance(value, bool | int | float | str), "a number, a text or true/false")

    def integer(self, path: tuple, value: Any, least: int) -> int:
        """A whole number of at least `least`."""
        good = isinstance(value, int) and not isinstance(value, bool) and value >= least
        return self._typed(path, value, good, f"a whole number of at least {least}")

    def positive(self, path: tuple, value: Any) -> float:
        """A positive finite number."""
        return float(self._typed(path, value, _number(value) and 0 < value < math.inf, "a positive number"))

    def axis(self, at: tuple, block: dict[str, Any], axis: str, defaults: Any, where: str) -> list[Any]:
        """The values of one of `AXES`: a number, a list of numbers, or the default."""
        if axis not in block and axis not in defaults:
            raise self.refuse(at, f"there is no default `{axis}` for {where}: give `{axis}` in this [[block]].")
        value = block.get(axis, defaults.get(axis))
        values = value if isinstance(value, list) else [value]
        if not values:
            raise self.refuse((*at, axis), f"`{axis}` must hold at least one value, but it was an empty list.")
        return [self._on_axis((*at, axis), axis, item) for item in values]

    def possible(self, at: tuple, setting: dict[str, Any]) -> dict[str, Any]:
        """The setting with a fractional burn-in made whole; refused where no step is left to average over."""
        burn_in, horizon = setting["burn_in"], setting["horizon"]
        if isinstance(burn_in, float):
            burn_in = int(burn_in * horizon)
        if burn_in >= horizon:
            raise self.refuse(
                self._nearest(at, "burn_in", "horizon"),
                f"`burn_in` must be smaller than `horizon`, but burn_in = {burn_in} and horizon = {horizon}. "
                "Give a longer `horizon`, or `burn_in` as a fraction of it, such as 0.25.",
            )
        return setting | {"burn_in": burn_in}

    def _on_axis(self, path: tuple, axis: str, value: Any) -> Any:
        if axis == "dt":
            return self.positive(path, value)
        if axis == "burn_in":
            good = _number(value) and value >= 0 and (isinstance(value, int) or value < 1)
            return self._typed(path, value, good, "a number of steps, or a fraction of the horizon below 1")
        # One replica has no spread, hence no error bar.
        return self.integer(path, value, least=2 if axis == "replicas" else 1)

    def _nearest(self, at: tuple, *keys: str) -> tuple:
        table = self._lines.line(*at)
        return next(((*at, key) for key in keys if self._lines.line(*at, key) != table), at)

    def _typed(self, path: tuple, value: Any, good: bool, kind: str) -> Any:
        if not good:
            raise self.refuse(path, f"`{path[-1]}` must be {kind}, but it was {_shown(value)}.")
        return value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)


def _instead(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean `{close[0]}`?" if close else _have(names)


def _have(names: tuple[str, ...]) -> str:
    return f"Choose from: {', '.join(names)}." if names else "There is none."

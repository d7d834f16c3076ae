"""The configuration of an atlas: TOML in, cells out, and every mistake refused before anything runs."""

import dataclasses
import itertools
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pliant.atlas._values import AXES, Reader
from pliant.atlas.catalogue import Catalogue, installed
from pliant.atlas.cells import Cell, Options, fingerprint
from pliant.atlas.errors import ConfigError
from pliant.atlas.toml_lines import TomlLines

_ATLAS_KEYS = ("title", "seed", "precision")
_BLOCK_KEYS = ("systems", "dynamics", "estimators", *AXES, "timeout", "options")
_DEFAULT_TIMEOUT = 300.0


@dataclasses.dataclass(frozen=True)
class Atlas:
    """What is to be measured: cells in the order of the configuration, none twice, and the text they came from.

    `titles` holds the full names of systems, for the report.
    """

    title: str
    seed: int
    cells: tuple[Cell, ...]
    text: str
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """A hash of what is to be measured; comments, the title and time limits do not enter."""
        return fingerprint(self.cells)


def find(name: str) -> Path:
    """The configuration file called `name`: a path, or the name of one that ships with the library.

    Raises `ConfigError` where there is neither.
    """
    shipped = Path(str(resources.files("pliant.atlas"))) / "configs"
    candidates = [Path(name), shipped / f"{name}.toml"]
    for path in candidates:
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in shipped.glob("*.toml")))
    raise ConfigError(
        f"Argument `config` must be a TOML file or the name of a configuration that ships ({names}), "
        f"but {name!r} is neither."
    )


def load(path: Path, catalogue: Catalogue | None = None) -> Atlas:
    """The atlas that the file at `path` asks for; see `parse`."""
    return parse(path.read_text(encoding="utf-8"), catalogue or installed(), source=path.name)


def parse(text: str, catalogue: Catalogue, source: str = "configuration") -> Atlas:
    """The atlas that a TOML text asks for.

    A block is the cross product of its lists. What it leaves out of `dt`, `horizon`, `burn_in` and `replicas` comes
    from the system's defaults for the dynamics. A `burn_in` written as a fraction below one is that fraction of
    every horizon.

    Raises
    ------
    ConfigError
        Naming the line and the key, on an unknown key or name, a wrong type, or an impossible combination.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}.") from None
    return _Parser(document, Reader(TomlLines(text), source), catalogue).atlas(text)


class _Parser:
    def __init__(self, document: dict[str, Any], reader: Reader, catalogue: Catalogue):
        self.document, self.reader, self.catalogue = document, reader, catalogue

    def atlas(self, text: str) -> Atlas:
        read = self.reader
        read.known((), self.document, ("atlas", "block"))
        head = read.table((), self.document, "atlas")
        read.known(("atlas",), head, _ATLAS_KEYS)
        seed = read.integer(("atlas", "seed"), head.get("seed", 0), least=0)
        precision = read.one_of(("atlas", "precision"), head.get("precision", "float64"), ("float64", "float32"))
        title = read.text(("atlas", "title"), head.get("title", "atlas"))
        blocks = read.tables(("block",), self.document.get("block"))
        # Blocks may overlap, as a sweep does with the setting it starts from: one measurement serves both.
        unique: dict[str, Cell] = {}
        for index, block in enumerate(blocks):
            for cell in self.block(("block", index), block):
                unique.setdefault(cell.id, dataclasses.replace(cell, atlas_seed=seed, precision=precision))
        return Atlas(title, seed, tuple(unique.values()), text, self.catalogue.titles)

    def block(self, at: tuple, block: dict[str, Any]) -> list[Cell]:
        read, names = self.reader, self.catalogue
        read.known(at, block, _BLOCK_KEYS)
        systems = read.names(at, block, "systems", tuple(names.systems))
        dynamics = read.names(at, block, "dynamics", names.dynamics)
        estimators = read.names(at, block, "estimators", tuple(names.estimators))
        options = self.options(at, block, estimators)
        timeout = read.positive((*at, "timeout"), block.get("timeout", _DEFAULT_TIMEOUT))
        return [
            Cell(system, law, estimator, **setting, options=options.get(estimator, ()), timeout=timeout)
            for system, law in itertools.product(systems, dynamics)
            for setting in self.settings(at, block, system, law)
            for estimator in estimators
        ]

    def options(self, at: tuple, block: dict[str, Any], estimators: list[str]) -> dict[str, Options]:
        tables = self.reader.table(at, block, "options")
        at = (*at, "options")
        self.reader.known(at, tables, tuple(estimators), "an estimator of this block")
        for name in tables:
            values = self.reader.table(at, tables, name)
            self.reader.known((*at, name), values, self.catalogue.estimators[name], f"an option of {name}")
            for key, value in values.items():
                self.reader.scalar((*at, name, key), value)
        return {name: tuple(sorted(values.items())) for name, values in tables.items()}

    def settings(self, at: tuple, block: dict[str, Any], system: str, dynamics: str) -> list[dict[str, Any]]:
        defaults = self.catalogue.systems[system].get(dynamics, {})
        axes = [self.reader.axis(at, block, axis, defaults, f"{system} under {dynamics}") for axis in AXES]
        settings = [dict(zip(AXES, values, strict=True)) for values in itertools.product(*axes)]
        return [self.reader.possible(at, setting) for setting in settings]

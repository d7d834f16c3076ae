"""Where results are kept: one SQLite file that the driver alone writes, one transaction a cell."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pliant.atlas.cells import Cell
from pliant.atlas.config import Atlas
from pliant.atlas.errors import StoreError

FILE = "atlas.sqlite"
_LOCK = "atlas.lock"
_BUSY_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS specification (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    title TEXT, seed INTEGER, fingerprint TEXT, text TEXT, titles TEXT, versions TEXT
);
CREATE TABLE IF NOT EXISTS cells (
    id TEXT PRIMARY KEY, place INTEGER UNIQUE, specification TEXT, state TEXT, result TEXT, finished REAL
);
"""


class Store:
    """The table of cells in a folder.

    The file is in write-ahead mode: `status` and `report` read it while the driver writes, and a driver that is
    killed at any moment leaves the last whole transaction behind.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection):
        self.folder, self._db = folder, connection

    @classmethod
    def create(cls, folder: Path, atlas: Atlas, versions: dict[str, str]) -> "Store":
        """The store of `atlas` in `folder`: a new one, or the one that an earlier run of the same atlas left there.

        Raises `StoreError` where the folder holds another atlas.
        """
        folder.mkdir(parents=True, exist_ok=True)
        store = cls(folder, _connect(folder / FILE))
        with store._transaction() as db:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            held = db.execute("SELECT title, fingerprint FROM specification").fetchone()
            if held is None:
                _write(db, atlas, versions)
            elif held[1] != atlas.fingerprint:
                raise StoreError(_other(folder, held[0], atlas.title))
            # What a killed driver was at when it died is to be done again.
            db.execute("UPDATE cells SET state = 'pending' WHERE state = 'running'")
        return store

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """The store that lies in `folder`; `StoreError` where there is none."""
        if not (folder / FILE).is_file():
            raise StoreError(
                f"Argument `DIR` must be a folder that `pliant atlas run` wrote, but there is no {FILE} in {folder}."
            )
        store = cls(folder, _connect(folder / FILE))
        try:
            store._db.execute("SELECT only FROM specification").fetchone()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{folder / FILE} is not the store of an atlas: {error}.") from None
        return store

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        self._db.close()

    def start(self, cell: Cell) -> None:
        """Note that a cell is being measured."""
        with self._transaction() as db:
            db.execute("UPDATE cells SET state = 'running' WHERE id = ? AND state = 'pending'", (cell.id,))

    def finish(self, cell: Cell, result: dict[str, Any]) -> None:
        """Keep what came of a cell, whole or not at all; the first result stays."""
        record = (result["state"], json.dumps(result), time.time(), cell.id)
        with self._transaction() as db:
            db.execute(
                "UPDATE cells SET state = ?, result = ?, finished = ? WHERE id = ? AND state IN ('pending', 'running')",
                record,
            )

    def pending(self) -> list[Cell]:
        """The cells that wait, in the order of the configuration."""
        rows = self._db.execute("SELECT specification FROM cells WHERE state = 'pending' ORDER BY place")
        return [Cell.from_dict(json.loads(text)) for (text,) in rows]

    def records(self) -> list[tuple[Cell, dict[str, Any]]]:
        """Every cell with its result, in the order of the configuration.

        The result of a cell that waits or is being measured is its state alone.
        """
        alive = self.is_driven()
        rows = self._db.execute("SELECT specification, state, result FROM cells ORDER BY place").fetchall()
        return [(Cell.from_dict(json.loads(text)), _result(state, result, alive)) for text, state, result in rows]

    def specification(self) -> dict[str, Any]:
        """What the first run wrote: title, seed, fingerprint, TOML text, titles of systems, versions of libraries."""
        columns = ("title", "seed", "fingerprint", "text", "titles", "versions")
        row = self._db.execute(f"SELECT {', '.join(columns)} FROM specification").fetchone()
        values = dict(zip(columns, row, strict=True))
        return values | {key: json.loads(values[key]) for key in ("titles", "versions")}

    def is_driven(self) -> bool:
        """Whether a driver is at work on this folder now."""
        connection = sqlite3.connect(self.folder / _LOCK, isolation_level=None, timeout=0)
        try:
            connection.execute("SELECT name FROM sqlite_master").fetchall()
        except sqlite3.OperationalError:
            return True
        finally:
            connection.close()
        return False

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


@contextlib.contextmanager
def driver_lock(folder: Path) -> Iterator[None]:
    """Keep every other driver out of a folder; `StoreError` where there is one already.

    The lock is an open transaction on an empty database, so that the operating system frees it with the process,
    however that dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A reader that asks whether there is a driver holds the file for an instant: wait for that much.
    connection = sqlite3.connect(folder / _LOCK, isolation_level=None, timeout=1.0)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        connection.close()
        raise StoreError(f"another `pliant atlas run` is at work in {folder}; wait for it or stop it first.") from None
    try:
        yield
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
    with contextlib.suppress(sqlite3.DatabaseError):
        connection.execute("PRAGMA journal_mode = WAL")
    return connection


def _write(db: sqlite3.Connection, atlas: Atlas, versions: dict[str, str]) -> None:
    about = (json.dumps(dict(atlas.titles)), json.dumps(versions))
    row = (atlas.title, atlas.seed, atlas.fingerprint, atlas.text, *about)
    db.execute("INSERT INTO specification VALUES (1, ?, ?, ?, ?, ?, ?)", row)
    cells = [(cell.id, place, json.dumps(cell.as_dict())) for place, cell in enumerate(atlas.cells)]
    db.executemany("INSERT INTO cells VALUES (?, ?, ?, 'pending', NULL, NULL)", cells)


def _result(state: str, result: str | None, alive: bool) -> dict[str, Any]:
    if result is not None:
        return json.loads(result)
    return {"state": state if alive else "pending"}


def _other(folder: Path, held: str, asked: str) -> str:
    titles = f"({held!r})" if held == asked else f"({held!r}, not {asked!r})"
    return (
        f"{folder} holds an atlas of another configuration {titles}: its systems, settings or seed differ. "
        "Give another folder with --out, or remove this one to start anew."
    )

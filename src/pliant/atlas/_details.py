"""The whole record of one cell, opened by a click."""

from typing import Any

from pliant.atlas import numbers
from pliant.atlas._grid import Row
from pliant.atlas._html import Markup, join, tag
from pliant.atlas._matrix import badge, title_of
from pliant.atlas.states import status_of

# What a z-score leaves out where the truth is not that of the very scheme.
_KINDS = {
    "discretised": "discretised dynamics at this dt and horizon",
    "exact stationary": "exact stationary density, which leaves out the bias of a finite dt and horizon",
}


def details(row: Row, titles: dict[str, str]) -> Markup:
    """A template with the record of a cell, which the page's script shows."""
    place = f"{title_of(row['system'], titles)} · {row['dynamics']}"
    head = join(tag("p", place, class_="place"), tag("h2", row["estimator"]), badge(status_of(row)))
    body = _measured(row) if row["state"] == "done" else _unmeasured(row)
    return tag("template", head, body, _settings(row), data_details=row["id"])


def _unmeasured(row: Row) -> Markup:
    why = row.get("reason") or row.get("error") or "This cell was not measured yet: run the same command again."
    trace = row.get("traceback")
    return join(tag("p", why, class_="reason"), tag("pre", trace, tabindex="0") if trace else None)


def _measured(row: Row) -> Markup:
    reasons = [tag("li", reason) for reason in row["reasons"]]
    notes = [tag("li", note) for note in row.get("notes", [])]
    return join(
        tag("ul", reasons, class_="reasons") if reasons else tag("p", "Nothing speaks against this gradient."),
        tag("h3", "Gradient"),
        _components(row["components"]),
        _provenance(row),
        tag("h3", "Observable"),
        _pairs(_observable(row["observable"])),
        tag("h3", "Figures of merit of one replicate"),
        _pairs(_figures(row)),
        _bias(row.get("bias") or []),
        tag("h3", "Cost"),
        _pairs(_cost(row)),
        join(tag("h3", "Notes"), tag("ul", notes)) if notes else None,
    )


def _provenance(row: Row) -> Markup:
    if row["truth_source"] is None:
        return tag("p", "No truth is known here: z-scores are left out.", class_="aside")
    return tag("p", f"Truth of the {_KINDS[row['truth_of']]}: {row['truth_source']}.", class_="aside")


def _components(components: list[Row]) -> Markup:
    names = ("parameter", "value", "truth", "z", "SNR")
    head = tag("tr", [tag("th", name, scope="col") for name in names])
    rows = [tag("tr", [tag("td", text) for text in _component(entry)]) for entry in components]
    return tag("div", tag("table", tag("thead", head), tag("tbody", rows), class_="components"), class_="wide")


def _component(entry: Row) -> list[str]:
    return [
        entry["parameter"],
        numbers.with_error(entry["value"], entry["standard_error"]),
        numbers.known(entry["truth"], entry["truth_error"]),
        numbers.signed(entry["z_score"]),
        "–" if entry["snr"] is None else numbers.plain(entry["snr"]),
    ]


def _observable(entry: Row) -> list[tuple[str, str]]:
    return [
        ("value", numbers.with_error(entry["value"], entry["standard_error"])),
        ("truth", numbers.known(entry["truth"], entry["truth_error"])),
        ("z", numbers.signed(entry.get("z_score"))),
    ]


def _figures(row: Row) -> list[tuple[str, str]]:
    found = row.get("figures") or {}
    names = {
        "tail_index": "tail index k",
        "norm_stability": "Var‖g‖ / (E‖g‖)²",
        "effective_dimension": "effective dimension",
    }
    known = [(name, found.get(key)) for key, name in names.items()]
    return [(name, "–" if value is None else numbers.plain(value)) for name, value in known]


def _bias(entries: list[Row]) -> Markup | None:
    """How far the estimator lies from the derivative of the discretised dynamics, time step by halved time step."""
    if not entries:
        return None
    head = tag("tr", [tag("th", name, scope="col") for name in ("dt", "bias", "of", "order")])
    rows = [tag("tr", [tag("td", text) for text in _bias_at(entry)]) for entry in entries]
    table = tag("table", tag("thead", head), tag("tbody", rows), class_="components")
    return join(tag("h3", "Bias against the discrete adjoint, on the same noise"), tag("div", table, class_="wide"))


def _bias_at(entry: Row) -> list[str]:
    return [
        f"{entry['dt']:g}",
        numbers.with_error(entry["difference"], entry["standard_error"]),
        numbers.plain(entry["size"]),
        "–" if entry["order"] is None else f"{entry['order']:.2f}",
    ]


def _cost(row: Row) -> list[tuple[str, str]]:
    source = {"xla": "as XLA plans it", "peak": "growth of the process's peak"}.get(row.get("bytes_source", ""), "")
    return [
        ("run", numbers.seconds(row["seconds"])),
        ("compile", numbers.seconds(row["compile_seconds"])),
        ("memory", f"{numbers.size(row['bytes'])} {source}".strip()),
    ]


def _settings(row: Row) -> Markup:
    names = ("dt", "horizon", "burn_in", "replicas", "precision", "timeout", "seed")
    pairs: list[tuple[str, Any]] = [(name.replace("_", "-"), f"{row[name]}") for name in names]
    options = [(f"option {name}", f"{value}") for name, value in row["options"].items()]
    return join(tag("h3", "Setting"), _pairs([*pairs, *options]), tag("p", row["id"], class_="id"))


def _pairs(pairs: list[tuple[str, str]]) -> Markup:
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs])

"""The states of a cell and the verdicts of its gradient, each with a sign that needs no colour."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Look:
    """How a state or a verdict is shown: a word, a sign, and a style of the terminal."""

    word: str
    sign: str
    style: str


LOOKS = {
    "trusted": Look("trusted", "●", "green"),
    "imprecise": Look("imprecise", "◐", "yellow"),
    "untrusted": Look("not trusted", "✕", "red"),
    "not_applicable": Look("not applicable", "–", "dim"),
    "failed": Look("failed", "!", "bold red"),
    "timeout": Look("timed out", "◷", "bold red"),
    "running": Look("running", "▸", "cyan"),
    "pending": Look("pending", "·", "dim"),
}


def status_of(result: dict) -> str:
    """The key of `LOOKS` for a result: the verdict of what is done, else the state."""
    return result["verdict"] if result["state"] == "done" else result["state"]

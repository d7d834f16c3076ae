"""What two widths say about the limit."""

from typing import NamedTuple

from jaxtyping import PyTree


class Extrapolated(NamedTuple):
    """A relaxed quantity and its limit, all three of the same structure.

    **Fields**: `value` at the width asked for; `extrapolated` to width 0; `bias`: the first minus the second.
    """

    value: PyTree
    extrapolated: PyTree
    bias: PyTree

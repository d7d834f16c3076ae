"""HTML from nested calls: every text is escaped, unless it was made here."""

import html
from typing import Any


class Markup(str):
    """Text that is HTML already."""


def tag(name: str, *content: Any, **attributes: Any) -> Markup:
    """An element. Attributes that are None are left out, `class_` is `class`, and `data_id` is `data-id`."""
    head = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    return Markup(f"<{name}{head}>{join(*content)}</{name}>")


def join(*content: Any) -> Markup:
    """Pieces of content in a row: lists are opened, None is nothing, text is escaped."""
    return Markup("".join(map(_piece, content)))


def _piece(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, Markup):
        return content
    if isinstance(content, list | tuple):
        return join(*content)
    return html.escape(str(content))


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f' {name}="{html.escape(str(value))}"'

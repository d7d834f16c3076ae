"""The code on the documentation's pages runs, and the README says what the program says."""

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "docs/add_your_own.md"]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_on_a_page_runs_from_top_to_bottom(page: str) -> None:
    namespace: dict[str, Any] = {}
    exec("from pliant.estimators import BPTT", namespace)
    for block in blocks(page):
        exec(compile(block, page, "exec"), namespace)
    assert len(blocks(page)) >= 2


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"

"""The tutorials run."""

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").rglob("[!_]*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=[script.stem for script in EXAMPLES])
def test_example(
    script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if script.stem == "molecule":
        pytest.importorskip("openmm")
    # What a page shares with its neighbours stands beside it, and what it draws goes elsewhere.
    monkeypatch.syspath_prepend(str(script.parent))
    monkeypatch.setenv("PLIANT_OUT", str(tmp_path))
    runpy.run_path(str(script), run_name="__main__")
    assert len(capsys.readouterr().out) > 100


def test_the_gallery_lists_its_pages() -> None:
    gallery = Path(__file__).parents[1] / "examples" / "rogues"
    listed = re.findall(r"\]\((\w+\.py)\)", (gallery / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(page.name for page in gallery.glob("[!_]*.py"))

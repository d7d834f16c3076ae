"""The package: one public name a file with its source, and none hidden."""

import inspect

import pytest

from pliant import smooth

PACKAGES = (smooth, smooth.safe, smooth.reparametrise, smooth.shapes)
COMPONENTS = [pytest.param(kind, id=name) for package in PACKAGES for name, kind in package.components().items()]


@pytest.mark.parametrize("kind", COMPONENTS)
def test_one_public_name_with_its_source(kind):
    module = inspect.getmodule(kind)
    public = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "") == module.__name__
    ]
    assert public == [kind.__name__] and "Source:" in inspect.getdoc(kind)


def test_names():
    assert {"step", "histogram", "sort", "safe", "shapes", "components"} <= set(dir(smooth))
    assert {"norm", "eigh"} <= set(dir(smooth.safe))
    assert smooth.step is smooth.components()["step"] and callable(smooth.bias)
    with pytest.raises(AttributeError, match="'stepp'; it has .*step"):
        _ = smooth.stepp

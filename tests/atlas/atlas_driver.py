"""A driver in a process of its own, for tests that kill it: `python atlas_driver.py CONFIG FOLDER`."""

import sys
from pathlib import Path

import atlas_fakes

from pliant.atlas.config import load

if __name__ == "__main__":
    atlas = load(Path(sys.argv[1]), atlas_fakes.CATALOGUE)
    atlas_fakes.run(atlas, Path(sys.argv[2]), workers=2)

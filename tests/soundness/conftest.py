"""Make the lane, and the definitions of the maps, importable by their plain names."""

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parent.parent / "maps"):
    sys.path.insert(0, str(folder))

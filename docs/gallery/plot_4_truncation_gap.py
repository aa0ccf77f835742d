"""
Measured truncation error against its bounds, for every truncation length k
===========================================================================

The program is ``examples/fig_truncation_gap.py``. What the eye should see: the measured gap of a
network whose weights are scaled to a spectral norm of 0.9 falls along a straight line, faster
than the bounds, none of which it crosses; for the scalar linear system under constant inputs it
lies on its bound.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, "../../examples")
from fig_truncation_gap import data, draw

rows = data("small")
figure = Path(tempfile.mkdtemp()) / "fig_truncation_gap.png"
draw(rows, figure)
print(len(rows), "rows")

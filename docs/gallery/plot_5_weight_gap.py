"""
Distance of the weights of a recurrent model and its k-step counterparts during training
========================================================================================

The program is ``examples/fig_weight_gap.py``. What the eye should see: for the stable model the
distances of the weights fall geometrically with k at every step; without projection, from a norm
of 1.5, they do not. The bound of the theorem is many orders of magnitude above (its size is in
the legend); with the two constants measured on the way (dashed) it is close.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, "../../examples")
from fig_weight_gap import data, draw

rows = data("small")
figure = Path(tempfile.mkdtemp()) / "fig_weight_gap.png"
draw(rows, figure)
print(len(rows), "rows")

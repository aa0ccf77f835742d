"""
Gradient descent on h <- a h + 1 with the target 1: it fails from an unstable start
===================================================================================

The program is ``examples/fig_unstable_descent.py``. What the eye should see: left: from a = 1.1
the gradient grows doubly exponentially until no double holds it; from a = 0.9, projected, the
descent reaches its end; small steps save the unstable start, and none save the stable one without
projection. Right: why. At a = 1.1 the gradient grows exponentially with the length, above the
bound from below.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, "../../examples")
from fig_unstable_descent import data, draw

rows = data("small")
figure = Path(tempfile.mkdtemp()) / "fig_unstable_descent.png"
draw(rows, figure)
print(len(rows), "rows")

"""
Derivative of the last loss in the input k steps before, against the lag k
==========================================================================

The program is ``examples/fig_gradient_lag.py``. What the eye should see: with a norm of 0.9 the
derivatives fall along a straight line below the bound, and faster, because tanh saturates. With
1.5 there is no bound, and they fall all the same where the inputs are loud.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, "../../examples")
from fig_gradient_lag import data, draw

rows = data("small")
figure = Path(tempfile.mkdtemp()) / "fig_gradient_lag.png"
draw(rows, figure)
print(len(rows), "rows")

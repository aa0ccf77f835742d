"""
Final loss of the k-step model against k, beside that of the recurrent model
============================================================================

The program is ``examples/fig_final_loss.py``. What the eye should see: the final loss of the
k-step models comes to that of the recurrent model (black) within a few steps of k, far sooner
than the band of the theorem closes; on the way there it may be smaller, as it is another model
that is trained.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, "../../examples")
from fig_final_loss import data, draw

rows = data("small")
figure = Path(tempfile.mkdtemp()) / "fig_final_loss.png"
draw(rows, figure)
print(len(rows), "rows")

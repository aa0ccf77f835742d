"""The constants of the training theorems, per map and loss, on a stated domain."""

from theory.learning.constants.interface import map_constants
from theory.learning.constants.lower import constants_lower
from theory.learning.constants.values import MapConstants, trained_names

__all__ = [
    "MapConstants",
    "constants_lower",
    "map_constants",
    "trained_names",
]

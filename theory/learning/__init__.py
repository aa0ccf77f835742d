"""Can the k-step model be trained instead?  Gradients, their constants, descent, and twins.

What is learned from: `training_data` makes `TrainingData`, with a `Loss` that is `SquaredLoss`,
`CrossEntropy`, `BernoulliLoss` or `LinearLoss`.

Three gradients are three objects; each is a `Gradient`:

    recurrent_gradient             of the recurrent model
    truncated_gradient             of the k-step model
    truncated_backprop_gradient    of no loss: the state is carried, the derivatives are cut

`input_gradients` are those in the inputs, which vanish.  The constants of a map that bounds of
gradients ask for: `map_constants` gives `MapConstants` from above, `constants_lower` from below.

Training: `projected_gradient_descent` with the steps of `step_sizes` gives a `Descent`, with a
`Divergence` where it left the range of numbers; `train_twins` trains a model and its k-step
counterparts side by side: `Twins`; `prediction_gaps` compares any two models.  `weight_gap_along`
bounds the distance of the recurrent descent from any path of weights, from that path alone:
`PathGap`.  `training_setup`
makes the `Training` of an experiment.
"""

from theory.learning.constants.interface import map_constants
from theory.learning.constants.lower import constants_lower
from theory.learning.constants.values import MapConstants
from theory.learning.data import TrainingData, training_data
from theory.learning.descent import Descent, Divergence, projected_gradient_descent
from theory.learning.gradients import (
    Gradient,
    input_gradients,
    recurrent_gradient,
    truncated_backprop_gradient,
    truncated_gradient,
)
from theory.learning.losses import BernoulliLoss, CrossEntropy, LinearLoss, Loss, SquaredLoss
from theory.learning.path import PathGap, weight_gap_along
from theory.learning.setup import Training, training_setup
from theory.learning.twins import Twins, prediction_gaps, train_twins
from theory.theorems.schedules import step_sizes

__all__ = [
    "BernoulliLoss",
    "CrossEntropy",
    "Descent",
    "Divergence",
    "Gradient",
    "LinearLoss",
    "Loss",
    "MapConstants",
    "PathGap",
    "SquaredLoss",
    "Training",
    "TrainingData",
    "Twins",
    "constants_lower",
    "input_gradients",
    "map_constants",
    "prediction_gaps",
    "projected_gradient_descent",
    "recurrent_gradient",
    "step_sizes",
    "train_twins",
    "training_data",
    "training_setup",
    "truncated_backprop_gradient",
    "truncated_gradient",
    "weight_gap_along",
]

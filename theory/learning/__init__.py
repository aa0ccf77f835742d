"""Gradients, their constants, descent, and twins that are trained side by side.

Three gradients are three objects: `recurrent_gradient` of the recurrent model, `truncated_gradient`
of the k-step model, and `truncated_backprop_gradient`, which is the gradient of no loss.
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
from theory.learning.setup import Training, training_setup
from theory.learning.twins import Twins, prediction_gaps, train_twins
from theory.learning.weights import with_weights

__all__ = [
    "BernoulliLoss",
    "CrossEntropy",
    "Descent",
    "Divergence",
    "Gradient",
    "LinearLoss",
    "Loss",
    "MapConstants",
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
    "train_twins",
    "training_data",
    "training_setup",
    "truncated_backprop_gradient",
    "truncated_gradient",
    "with_weights",
]

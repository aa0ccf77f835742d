r"""Where data come from: sources whose entropies are known, and their filters as recurrent maps.

    HiddenMarkovModel       a stationary hidden Markov model of transitions A and emissions E
    markov_source           a Markov source of any order, as one
    register                the circular register, the witness of `short_memory`
    LinearGaussianModel     a linear system with Gaussian noise, and its Kalman filter

What is believed of the next state is a recurrent map of the symbols seen:

    BeliefFilter            the forward filter in log-odds: zero is the stationary belief, and the
                            k-step counterpart the best predictor of k symbols
    filter_contraction_of   its certificate by Birkhoff's factor

How much the symbols tell of each other, in nats:

    information_values      entropies h_l, losses i_l = h_l - h and I = sum of i_l, enclosed:
                            `InformationValues`
    sampled_values          the losses of larger models, estimated: `SampledValues`

Distances of predictions: `hilbert_distance`, and what it bounds, `total_variation_of_distance` and
`divergence_of_distance`; `total_variation_of_divergence` is Pinsker's.
"""

from theory.sources.belief import BeliefFilter, filter_contraction_of
from theory.sources.gaussian import LinearGaussianModel
from theory.sources.hidden_markov import HiddenMarkovModel
from theory.sources.hilbert import (
    divergence_of_distance,
    hilbert_distance,
    total_variation_of_distance,
    total_variation_of_divergence,
)
from theory.sources.information import (
    InformationValues,
    SampledValues,
    information_values,
    sampled_values,
)
from theory.sources.markov import markov_source, register

__all__ = [
    "BeliefFilter",
    "HiddenMarkovModel",
    "InformationValues",
    "LinearGaussianModel",
    "SampledValues",
    "divergence_of_distance",
    "filter_contraction_of",
    "hilbert_distance",
    "information_values",
    "markov_source",
    "register",
    "sampled_values",
    "total_variation_of_distance",
    "total_variation_of_divergence",
]

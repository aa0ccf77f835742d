"""From a map to its contraction, or None, or a refutation.

`contraction` tries the criteria that fit, `judge_contraction` also tries to refute, and
`joint_spectral_radius` and `rate_lower` say what no certificate can beat.  `find_certificates`
keeps what a search found for the questions to come.  A certificate is written and read by
`certificate_file` and checked again by `recheck`.

`methods` is the table of criteria.  Candidates come from `search`, `lmi` and `lyapunov`; only the
criteria of `theory.theorems` turn one into a certificate, see `accept`.
"""

from theory.certify.ascent import LowerBound
from theory.certify.certificate_file import load_certificate, save_certificate
from theory.certify.enclose import JointSpectralRadius
from theory.certify.found import Certificates, find_certificates
from theory.certify.interface import contraction, contractions, domain_of, narrowing
from theory.certify.iterates import iterate_in_norm
from theory.certify.jsr import joint_spectral_radius, rate_lower
from theory.certify.judge import Judgement, judge_contraction
from theory.certify.methods import EFFORTS, METHODS
from theory.certify.recheck import Recheck, recheck
from theory.certify.refute import Refutation, refute

__all__ = [
    "EFFORTS",
    "METHODS",
    "Certificates",
    "JointSpectralRadius",
    "Judgement",
    "LowerBound",
    "Recheck",
    "Refutation",
    "contraction",
    "contractions",
    "domain_of",
    "find_certificates",
    "iterate_in_norm",
    "joint_spectral_radius",
    "judge_contraction",
    "load_certificate",
    "narrowing",
    "rate_lower",
    "recheck",
    "refute",
    "save_certificate",
]

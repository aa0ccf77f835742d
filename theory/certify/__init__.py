"""Is this map contractive?  A certificate, or None, or a refutation.

A certificate is a `Contraction`, and its `Evidence` says how it is known:

    contraction             the smallest certified rate of a map, or None
    contractions            one of every method that certifies anything
    find_certificates       all that a search found, kept for further questions: `Certificates`
    METHODS, EFFORTS        the criteria by name, and how large a map each effort tries them on
    invariant_domain        the box of states under bounded inputs, where slopes are smaller
    reached_domain          the states that are reached from zero, where they are smaller still

If there is none:

    judge_contraction       certified, refuted or unknown: a `Judgement`
    cause_of                which bound failed, by how much, and what to try: a `Cause`
    refute                  states and inputs that are not contracted: a `Refutation`, or None
    rate_lower              a rate that no norm can beat: a `LowerBound`
    joint_spectral_radius   that rate enclosed, of a set of matrices too: a `JointSpectralRadius`

From one step in one norm to several steps in another: `iterate_in_norm`.  Files that anybody can
check again: `save_certificate`, `save_refutation`, `load_certificate` (a `StoredCertificate` or a
`StoredRefutation`) and `recheck` (a `Recheck`).
"""

from theory.certificates import Contraction, Evidence
from theory.certify.ascent import LowerBound
from theory.certify.cause import Cause, cause_of
from theory.certify.certificate_file import load_certificate, save_certificate, save_refutation
from theory.certify.enclose import JointSpectralRadius
from theory.certify.found import Certificates, find_certificates
from theory.certify.interface import contraction, contractions
from theory.certify.iterates import iterate_in_norm
from theory.certify.jsr import joint_spectral_radius, rate_lower
from theory.certify.judge import Judgement, judge_contraction
from theory.certify.methods import EFFORTS, METHODS
from theory.certify.recheck import Recheck, StoredCertificate, recheck
from theory.certify.refutation_file import StoredRefutation
from theory.certify.refute import Refutation, refute
from theory.maps.invariance import invariant_domain
from theory.maps.reached import reached_domain

__all__ = [
    "EFFORTS",
    "METHODS",
    "Cause",
    "Certificates",
    "Contraction",
    "Evidence",
    "JointSpectralRadius",
    "Judgement",
    "LowerBound",
    "Recheck",
    "Refutation",
    "StoredCertificate",
    "StoredRefutation",
    "cause_of",
    "contraction",
    "contractions",
    "find_certificates",
    "invariant_domain",
    "iterate_in_norm",
    "joint_spectral_radius",
    "judge_contraction",
    "load_certificate",
    "rate_lower",
    "reached_domain",
    "recheck",
    "refute",
    "save_certificate",
    "save_refutation",
]

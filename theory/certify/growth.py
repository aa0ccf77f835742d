r"""From an enclosure of the joint spectral radius to a contraction of several steps together.

Main name: `by_growth`.

Where every product of j factors has norm at most K q**j with q < 1, r steps together contract by
K q**r.  The tree of products that says so is formed again, from the rate alone.
"""

from __future__ import annotations

import math

from theory.arithmetic.rounding import up
from theory.certificates import Contraction, certified
from theory.maps.form import Affine
from theory.norms.norms import Norm
from theory.norms.products import geometric_up, growth_constant

#: The rate is taken this much above the enclosure, relatively, so that norms which round another
#: way cut the products no later.
_ROOM = 2.0**-36

#: So many steps together that K costs this part of the logarithm of the rate.
_PRICE = 0.05

#: More steps together than this are not taken.
_MOST_STEPS = 4096


def by_growth(form: Affine, upper: float, norm: Norm) -> Contraction | None:
    """Return the contraction behind an upper bound of the joint spectral radius below 1.

    The bound and the norm in which it was found are a candidate, which products decide.

    The more steps are taken together, the less K costs: their number is the least for which it
    costs little, and of which the factor is at most 1 / 2, where these are not too many.
    """
    if not 0 < upper < 1:
        return None
    rate = up(upper * (1 + _ROOM))
    K = growth_constant(form.W, form.slopes, norm, rate)
    if not (rate < 1 and math.isfinite(K)):
        return None
    fall = -math.log(rate)
    r = math.ceil(max(math.log(2 * K) / fall, math.log(K) / (_PRICE * fall)))
    r = min(max(r, 1), _MOST_STEPS)
    lam = geometric_up(K, rate, r)[r]
    return certified(
        lam,
        norm,
        method="joint spectral radius",
        detail=f"all products of j matrices diag(s) W have norm at most {K!r} * {rate!r}**j",
        iterate=r,
        domain=form.domain,
        growth=(K, rate),
    )

"""Quantiles of Student's t and of the normal distribution, without SciPy."""

import math
from statistics import NormalDist

_NORMAL = NormalDist()


def student_quantile(degrees: float) -> float:
    """Return the 97.5th percentile of Student's t.

    Source: Hill, 1970, Algorithm 396, Communications of the ACM 13; the error is below 1e-3 from 2 degrees of freedom on.

    Args:
        degrees: of freedom; fewer than 2 count as 2, infinity gives the normal distribution.
    """
    both, n = 0.05, max(degrees, 2.0)
    if n > 1e6:
        return _NORMAL.inv_cdf(1 - both / 2)
    if n <= 2:
        return math.sqrt(2 / (both * (2 - both)) - 2)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20_700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    y = (d * both) ** (2 / n)
    if y <= 0.05 + a:
        inner = ((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3
        return math.sqrt(n * (((1 / inner + 0.5 / (n + 4)) * y - 1) * (n + 1) / (n + 2) + 1 / y))
    x = _NORMAL.inv_cdf(both / 2)
    y = x * x
    if n < 5:
        c += 0.3 * (n - 4.5) * (x + 0.6)
    c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
    y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
    return math.sqrt(n * math.expm1(a * y * y))

"""The statistics behind error bars and verdicts, on plain numpy arrays of per-replica values."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def tail_index(values: ArrayLike) -> float:
    r"""The Pareto $\hat k$ of the heavier of the two tails of a sample; nan below 25 values.

    A generalised Pareto distribution is fitted to the largest $M = \min(0.2 R, 3 \sqrt R)$ of $R$ distances from the
    median, tail by tail. Moments of order $1/k$ and above are infinite: with $k \ge 1/2$ the variance, with $k \ge 1$
    the mean. The fit is the empirical Bayes one of Zhang and Stephens with the weak prior of PSIS.

    Source: Zhang and Stephens, Technometrics 51, 316 (2009); Vehtari, Simpson, Gelman, Yao and Gabry, JMLR 25, 1 (2024).
    """
    sample = np.asarray(values, dtype=float).ravel()
    if sample.size < 25 or not np.all(np.isfinite(sample)) or np.ptp(sample) == 0.0:
        return float("nan")
    centred = sample - np.median(sample)
    return max(_pareto_shape(centred), _pareto_shape(-centred))


def tail_index_error(index: Any, size: int) -> Any:
    r"""The standard error $(1 + k) / \sqrt M$ of the tail index of a sample of `size` values.

    Source: Smith, Ann. Stat. 15, 1174 (1987), the asymptotic variance of a generalised Pareto shape; the prior of the fit
    makes the spread a third smaller.
    """
    return (1 + index) / np.sqrt(_tail_size(size))


def _tail_size(size: int) -> int:
    """How many of the largest values count as the tail."""
    return int(min(0.2 * size, 3 * np.sqrt(size)))


def _pareto_shape(values: np.ndarray) -> float:
    """The shape of the upper tail of `values`."""
    ordered = np.sort(values)
    count = _tail_size(ordered.size)
    threshold = ordered[-count - 1]
    excess = ordered[-count:] - threshold
    excess = excess[excess > 0]
    if excess.size < 5:
        return 0.0
    return (excess.size * _zhang_stephens(excess) + 5.0) / (excess.size + 10.0)


def _zhang_stephens(excess: np.ndarray) -> float:
    """The posterior mean of the generalised Pareto shape for sorted positive `excess`."""
    n = excess.size
    grid = np.arange(1, 31 + int(np.sqrt(n))) - 0.5
    quartile = excess[int(n / 4 + 0.5) - 1]
    theta = 1 / excess[-1] + (1 - np.sqrt(grid.size / grid)) / (3 * quartile)
    shape = np.mean(np.log1p(-theta[:, None] * excess), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        profile = n * (np.log(-theta / shape) - shape - 1)
    # Where theta vanishes the law is exponential and the profile is 0/0: leave that point of the grid out.
    profile = np.where(np.isfinite(profile), profile, -1e300)
    weight = np.exp(profile - np.max(profile))
    best = np.sum(theta * weight) / np.sum(weight)
    return float(np.mean(np.log1p(-best * excess)))


def skewness(values: np.ndarray) -> np.ndarray:
    """The skewness of every column of a sample; zero for a column without spread."""
    with np.errstate(invalid="ignore", over="ignore"):
        centred = values - np.mean(values, axis=0)
        spread = np.mean(centred**2, axis=0) ** 1.5
        found = np.mean(centred**3, axis=0) / np.where(spread > 0, spread, 1.0)
    return np.where(np.isfinite(found), found, 0.0)


def integrated_autocorrelation_time(series: ArrayLike, window: float = 5.0) -> tuple[float, float]:
    r"""The integrated autocorrelation time $\tau = \frac12 + \sum_{t \ge 1} \rho(t)$ of a series and its standard error.

    The sum runs to the smallest window $W \ge c \tau(W)$ with `window` = c. `series` has shape (steps,) or
    (chains, steps): the chains share one mean. The unit is one step of the series; uncorrelated values give 1/2.

    Source: Sokal, "Monte Carlo methods in statistical mechanics" (1997), equations 3.19 and 3.23; Madras and Sokal,
    J. Stat. Phys. 50, 109 (1988).
    """
    chains = np.atleast_2d(np.asarray(series, dtype=float))
    steps = chains.shape[1]
    rho = autocorrelation(chains - np.mean(chains))
    tau = 0.5 + np.cumsum(rho[1:])
    enough = np.nonzero(np.arange(1, steps) >= window * tau)[0]
    cut = int(enough[0]) if enough.size else steps - 2
    value = max(float(tau[cut]), 0.5 / steps)
    return value, float(value * np.sqrt(2 * (2 * (cut + 1) + 1) / chains.size))


def autocorrelation(centred: np.ndarray) -> np.ndarray:
    """The normalised autocorrelation of centred chains, by fast Fourier transform."""
    steps = centred.shape[1]
    spectrum = np.fft.rfft(centred, 2 * steps, axis=1)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum), axis=1)[:, :steps].mean(axis=0)
    covariance /= np.arange(steps, 0, -1)
    return covariance / covariance[0] if covariance[0] > 0 else np.eye(1, steps)[0]


def effective_sample_size(weights: ArrayLike) -> float:
    r"""Kish's effective size $(\sum w)^2 / \sum w^2$ of weighted samples.

    Source: Kish, Survey Sampling (1965), section 8.2.
    """
    w = np.asarray(weights, dtype=float).ravel()
    return float(np.sum(w) ** 2 / np.sum(w**2))

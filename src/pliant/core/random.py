"""Counter-based random numbers that XLA fuses: noise as a pure function of (key, replica, step).

The bits are those of Threefry-2x32 with 20 rounds, the generator behind `jax.random`; the normals come from them by
Box and Muller with polynomials for the logarithm and the circular functions, which is what makes XLA vectorise them.
A pair of variates travels as one complex number: XLA would otherwise draw the bits once for each of the two.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; Box and Muller,
Ann. Math. Stat. 29, 610 (1958).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, UInt32
from numpy.polynomial import chebyshev, polynomial

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_SQUARED_ANGLE = (0.0, (np.pi / 2) ** 2)
_PARITY = np.uint32(0x1BD11BDA)
Words = tuple[UInt32[Array, "..."], UInt32[Array, "..."]]


def threefry(key: Words, counter: Words) -> Words:
    """Threefry-2x32-20: two words of random bits for every pair of key and counter words, elementwise."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x, y = counter[0] + schedule[0], counter[1] + schedule[1]
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            x = x + y
            y = _rotate(y, distance) ^ x
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def _rotate(word: UInt32[Array, "..."], distance: int) -> UInt32[Array, "..."]:
    return (word << np.uint32(distance)) | (word >> np.uint32(32 - distance))


def normal_pair(first: Words, second: Words, dtype: jnp.dtype) -> Complex[Array, "..."]:
    """Two independent standard normals from random bits, as the real and the imaginary part of one number.

    float32 takes its radius and its angle from the two words of `first`; float64 spends one pair of words on each,
    so that 52 bits stand behind every variate.
    """
    if dtype == jnp.float64:
        unit, angle = _unit64(*first), (_unit64(*second) - 0.5) * np.pi
    else:
        unit, angle = _unit32(first[0]), _signed(first[1], jnp.float32) * np.float32(2**-32 * np.pi)
    radius = jnp.sqrt(2.0 * _minus_log(unit))
    square = angle * angle
    sine, cosine = angle * _polynomial(_sine(dtype), square), _polynomial(_cosine(dtype), square)
    return lax.complex(radius * (1.0 - 2.0 * sine * sine), radius * (2.0 * sine * cosine))


def uniform_pair(first: Words, second: Words, dtype: jnp.dtype) -> Complex[Array, "..."]:
    """Two independent uniforms on (0, 1) from random bits, as the two parts of one complex number."""
    if dtype == jnp.float64:
        return lax.complex(_unit64(*first), _unit64(*second))
    return lax.complex(_open32(first[0]), _open32(first[1]))


def _signed(word: UInt32[Array, "..."], dtype: jnp.dtype) -> Float[Array, "..."]:
    # Conversion from unsigned words is not vectorised on a CPU; from signed words it is.
    return lax.bitcast_convert_type(word, jnp.int32).astype(dtype)


def _unit32(word: UInt32[Array, "..."]) -> Float[Array, "..."]:
    # (0, 1] with the full relative precision near zero, where the tail of the normal comes from.
    return (_signed(word >> np.uint32(1), jnp.float32) + np.float32(0.5)) * np.float32(2**-31)


def _open32(word: UInt32[Array, "..."]) -> Float[Array, "..."]:
    return (_signed(word >> np.uint32(9), jnp.float32) + np.float32(0.5)) * np.float32(2**-23)


def _unit64(high: UInt32[Array, "..."], low: UInt32[Array, "..."]) -> Float[Array, "..."]:
    coarse = _signed(high >> np.uint32(1), jnp.float64) * 2.0**-31
    return coarse + (_signed(low >> np.uint32(11), jnp.float64) + 0.5) * 2.0**-52


def _minus_log(unit: Float[Array, "..."]) -> Float[Array, "..."]:
    """Minus the logarithm on (0, 1]: exponent apart, a polynomial for a mantissa m in [1/sqrt(2), sqrt(2))."""
    integer, mantissa_bits, half = _layout(unit.dtype)
    bits = lax.bitcast_convert_type(unit, integer)
    exponent = (bits - half) >> integer(mantissa_bits)
    mantissa = lax.bitcast_convert_type(bits - (exponent << integer(mantissa_bits)), unit.dtype)
    # In m - 1, not in the ratio (m - 1)/(m + 1): XLA would not fuse a division, and draw the bits twice.
    excess = mantissa - 1.0
    series = excess * _polynomial(_logarithm(unit.dtype), excess)
    return -(series + exponent.astype(jnp.int32).astype(unit.dtype) * np.asarray(np.log(2.0), unit.dtype))


def _layout(dtype: jnp.dtype) -> tuple[type, int, np.integer]:
    """The integer type of a float's bits, the width of its mantissa, and the bits of 1/sqrt(2)."""
    if dtype == jnp.float64:
        return np.int64, 52, np.float64(np.sqrt(0.5)).view(np.int64)
    return np.int32, 23, np.float32(np.sqrt(0.5)).view(np.int32)


def _polynomial(coefficients: np.ndarray, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """A polynomial by Estrin's scheme: its chain of dependent operations is a logarithm of Horner's."""
    terms = [np.asarray(coefficient, x.dtype) for coefficient in coefficients]
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        terms = [low + high * x for low, high in pairs] + terms[len(terms) - len(terms) % 2 :]
        x = x * x
    return jnp.asarray(terms[0])


@functools.cache
def _sine(dtype: jnp.dtype) -> np.ndarray:
    return _fit(lambda y: np.sinc(np.sqrt(y) / np.pi), _SQUARED_ANGLE, 8 if dtype == jnp.float64 else 4)


@functools.cache
def _cosine(dtype: jnp.dtype) -> np.ndarray:
    return _fit(lambda y: np.cos(np.sqrt(y)), _SQUARED_ANGLE, 8 if dtype == jnp.float64 else 5)


@functools.cache
def _logarithm(dtype: jnp.dtype) -> np.ndarray:
    return _fit(_log1p_ratio, (np.sqrt(0.5) - 1, np.sqrt(2) - 1), 19 if dtype == jnp.float64 else 8)


def _log1p_ratio(x: np.ndarray) -> np.ndarray:
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, np.log1p(safe) / safe)


def _fit(function: Callable, interval: tuple[float, float], degree: int) -> np.ndarray:
    """Power coefficients of the Chebyshev interpolant, within a factor of the best uniform error."""
    series = chebyshev.Chebyshev.interpolate(function, degree, interval)
    return series.convert(kind=polynomial.Polynomial, domain=[-1, 1], window=[-1, 1]).coef


def words(key: jax.Array) -> Words:
    """Two key words from a JAX key of any implementation."""
    bits = jax.random.bits(key, (2,), jnp.uint32)
    return bits[0], bits[1]

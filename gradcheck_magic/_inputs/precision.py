"""How precise floating-point numbers are: by their significant bits, as NumPy has no bfloat16.

Where the user has numbers in bfloat16, we have them in float32, which is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BFLOAT16",
    "DOUBLE",
    "FLOAT16",
    "PRECISIONS",
    "SINGLE",
    "eps_of",
    "is_low",
    "rounded",
    "significant_bits",
    "spacing",
]

Array = NDArray[Any]

# The significant bits of numbers, the leading one included, and the names of the dtypes.
DOUBLE, SINGLE, FLOAT16, BFLOAT16 = 53, 24, 11, 8
PRECISIONS = {DOUBLE: "float64", SINGLE: "float32", FLOAT16: "float16", BFLOAT16: "bfloat16"}
BITS = {name: bits for bits, name in PRECISIONS.items()} | {"complex64": SINGLE}


def significant_bits(value: object) -> int:
    """Return the significant bits of the numbers in an array of any library, at most a double's.

    Whole numbers count as doubles.

    Examples
    --------
    >>> significant_bits(np.float32(1)), significant_bits(1)
    (24, 53)
    """
    dtype = getattr(value, "dtype", None)
    # NumPy's dtypes have a name that does not depend on the order of bytes.
    name = str(getattr(dtype, "name", dtype)).rpartition(".")[2]
    return BITS.get(name, DOUBLE)


def is_low(value: object) -> bool:
    """Return True for an array of bfloat16."""
    return significant_bits(value) == BFLOAT16


def eps_of(bits: int) -> float:
    """Return the spacing of numbers next to 1."""
    return 2.0 ** (1 - bits)


def rounded(values: Array, bits: int) -> Array:
    """Round to bfloat16, if `bits` are so few: in all other precisions NumPy itself computes."""
    if bits != BFLOAT16:
        return values
    mantissa, exponent = np.frexp(values)
    with np.errstate(over="ignore"):  # of the largest numbers
        nearest: Array = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
    return nearest


def spacing(values: Array, bits: int) -> NDArray[np.float64]:
    """Return a unit in the last place of each number."""
    places: NDArray[np.float64] = np.spacing(np.abs(values)).astype(np.float64)
    return places * 2.0 ** (SINGLE - BFLOAT16) if bits == BFLOAT16 else places

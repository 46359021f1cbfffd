"""Hashes that tell if θ or the gradient has changed since a check, without keeping a copy."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.pairing import Pairing

__all__ = ["changed_since", "digest", "fingerprint", "same_bits"]

# The number of bytes hashed at a time; they are copied only if the array is not contiguous.
BYTES_AT_ONCE = 1 << 19
# An array of this many bytes or fewer is not reduced first: that would take longer.
SMALL = 1 << 11
WORD = np.dtype(np.uint64).itemsize
# The length of a hash in bytes: enough that no two are equal by accident.
DIGEST = 8


def fingerprint(pairing: Pairing) -> str:
    """Return a hash of θ and a hash of the gradient: of names, shapes and every bit.

    The hash of θ includes the parameters that are held fixed: the cost depends on them too.
    """
    theta = [(p.name, p.array) for p in pairing.arguments.arrays]
    names = [p.name for p in pairing.checked]
    return f"{digest(theta)}:{digest(zip(names, pairing.gradients, strict=True))}"


def changed_since(before: str, now: str) -> tuple[str, ...]:
    """Name the halves that differ between two fingerprints; nothing if one of them is empty."""
    if not (before and now):
        return ()
    halves = zip(("θ", "the gradient"), before.split(":"), now.split(":"), strict=True)
    return tuple(what for what, one, other in halves if one != other)


def digest(arrays: Iterable[tuple[str, NDArray[Any]]], most: float = math.inf) -> str:
    """Return a hash of named arrays: of names, shapes, and every bit.

    At most `most` bytes of each array are read; they are spread evenly over it.

    References
    ----------
    BLAKE2b, M.-J. Saarinen and J.-P. Aumasson, RFC 7693 (2015). Each block is first reduced by the
    multilinear hash of D. Lemire and O. Kaser, "Strongly universal string hashing is fast", The
    Computer Journal 57 (2014), which is ten times as fast.
    """
    hashed = hashlib.blake2b(digest_size=DIGEST)
    for name, array in arrays:
        hashed.update(f"{name} {array.dtype.str} {array.shape} ".encode("utf-8", "surrogatepass"))
        # The bytes are read in C order, whatever the layout in memory.
        plain = np.asarray(array)
        if array.nbytes <= min(SMALL, most):
            hashed.update(plain.tobytes())
            continue
        flat = plain.reshape(-1) if plain.flags.c_contiguous else plain.flat
        entries = max(1, BYTES_AT_ONCE // max(1, array.itemsize))
        n_blocks = math.ceil(array.size / entries)
        n_hashed = n_blocks if array.nbytes <= most else int(most // BYTES_AT_ONCE)
        for k in range(n_hashed):
            start = k * n_blocks // n_hashed * entries
            hashed.update(_block_hash(flat[start : start + entries]))
    return hashed.hexdigest()


def same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return True if two arrays of the same shape and dtype agree in every bit."""
    # Equal numbers may differ in bits, as 0.0 and -0.0 do, and nan does not equal itself.
    return np.array_equal(_bytes(one), _bytes(other))


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _block_hash(block: NDArray[Any]) -> bytes:
    content = np.ascontiguousarray(block).view(np.uint8)
    whole = content.size // WORD * WORD
    words = content[:whole].view(np.uint64)
    # The upper half of each word is mixed into the lower one; otherwise pairs of flipped signs
    # would cancel out.
    mixed = words >> np.uint64(32)
    mixed ^= words
    # The product wraps around.
    product: np.uint64 = np.dot(mixed, _weights()[: mixed.size])
    return product.tobytes() + content[whole:].tobytes()


@cache
def _weights() -> NDArray[np.uint64]:
    # The weights are odd, so that no change of a single word is lost.
    random = np.random.default_rng(0)
    return random.integers(0, 1 << 64, size=BYTES_AT_ONCE // WORD, dtype=np.uint64) | np.uint64(1)

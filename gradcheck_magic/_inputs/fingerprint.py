"""Whether θ and the gradient are still what a check saw, without keeping them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._inputs.pairing import Pairing

__all__ = ["changed_since", "digest", "fingerprint"]

Named = Iterable[tuple[str, NDArray[Any]]]

# So many bytes are hashed at a time: only of an array that is not contiguous are they copied.
BYTES_AT_ONCE = 1 << 19
WORD = np.dtype(np.uint64).itemsize
# In bytes: enough that no two are alike by accident.
DIGEST = 8
# What the two halves of a fingerprint are of.
HALVES = ("θ", "the gradient")


def fingerprint(pairing: Pairing) -> str:
    """Return two hashes, of θ and of the gradient under test: names, shapes and every bit.

    Those of θ are of all its entries, also of what is held fixed: the cost depends on them too.
    """
    theta = [(p.name, p.array) for p in pairing.parameters.arrays]
    names = [p.name for p in pairing.checked]
    return f"{digest(theta)}:{digest(zip(names, pairing.gradients, strict=True))}"


def changed_since(before: str, now: str) -> tuple[str, ...]:
    """Return what differs between two fingerprints, in words; nothing where one is empty."""
    if not (before and now):
        return ()
    halves = zip(HALVES, before.split(":"), now.split(":"), strict=True)
    return tuple(what for what, one, other in halves if one != other)


def digest(arrays: Named, most: float = math.inf) -> str:
    """Return a hash of named arrays: of names, shapes, and every bit.

    Parameters
    ----------
    most : float
        Of a larger array than that, in bytes, only so many are looked at, evenly spread.

    References
    ----------
    BLAKE2b, M.-J. Saarinen and J.-P. Aumasson, RFC 7693 (2015); of every block the multilinear
    hash of D. Lemire and O. Kaser, "Strongly universal string hashing is fast", The Computer
    Journal 57 (2014), as it is ten times as fast.
    """
    hashed = hashlib.blake2b(digest_size=DIGEST)
    for name, array in arrays:
        hashed.update(f"{name} {array.dtype.str} {array.shape} ".encode("utf-8", "surrogatepass"))
        # In C order, however it lies in memory.
        plain = np.asarray(array)
        flat = plain.reshape(-1) if plain.flags.c_contiguous else plain.flat
        entries = max(1, BYTES_AT_ONCE // max(1, array.itemsize))
        n_blocks = math.ceil(array.size / entries)
        n_hashed = n_blocks if array.nbytes <= most else int(most // BYTES_AT_ONCE)
        for k in range(n_hashed):
            start = k * n_blocks // n_hashed * entries
            hashed.update(_block_hash(flat[start : start + entries]))
    return hashed.hexdigest()


def _block_hash(block: NDArray[Any]) -> bytes:
    content = np.ascontiguousarray(block).view(np.uint8)
    whole = content.size // WORD * WORD
    words = content[:whole].view(np.uint64)
    # The upper half of a word goes into the lower one, or flipped signs would cancel out in pairs.
    mixed = words >> np.uint64(32)
    mixed ^= words
    # The product wraps around.
    product: np.uint64 = np.dot(mixed, _weights()[: mixed.size])
    return product.tobytes() + content[whole:].tobytes()


@cache
def _weights() -> NDArray[np.uint64]:
    # Odd, so that no change of a single word is lost.
    random = np.random.default_rng(0)
    return random.integers(0, 1 << 64, size=BYTES_AT_ONCE // WORD, dtype=np.uint64) | np.uint64(1)

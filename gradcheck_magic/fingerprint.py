"""Whether θ and the gradient are still what a check saw, without keeping them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic.pairing import Pairing

__all__ = ["changed_since", "fingerprint"]

Named = Iterable[tuple[str, NDArray[Any]]]

# So many entries are hashed at a time: only of an array that is not contiguous are they copied.
BLOCK = 1 << 16
# In bytes: enough that no two are alike by accident.
DIGEST = 8
# What the two halves of a fingerprint are of.
HALVES = ("θ", "the gradient")


def fingerprint(pairing: Pairing) -> str:
    """Return two hashes, of θ and of the gradient under test: names, shapes and every bit.

    Those of θ are of all its entries, also of what is held fixed: the cost depends on them too.

    References
    ----------
    BLAKE2b, M.-J. Saarinen and J.-P. Aumasson, RFC 7693 (2015).
    """
    theta = [(p.name, p.array) for p in pairing.parameters.arrays]
    names = [p.name for p in pairing.checked]
    return f"{_digest(theta)}:{_digest(zip(names, pairing.gradients, strict=True))}"


def changed_since(before: str, now: str) -> tuple[str, ...]:
    """Return what differs between two fingerprints, in words; nothing where one is empty."""
    if not (before and now):
        return ()
    halves = zip(HALVES, before.split(":"), now.split(":"), strict=True)
    return tuple(what for what, one, other in halves if one != other)


def _digest(arrays: Named) -> str:
    digest = hashlib.blake2b(digest_size=DIGEST)
    for name, array in arrays:
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode("utf-8", "surrogatepass"))
        # In C order, however it lies in memory.
        plain = np.asarray(array)
        flat = plain.reshape(-1) if plain.flags.c_contiguous else plain.flat
        for start in range(0, array.size, BLOCK):
            digest.update(np.ascontiguousarray(flat[start : start + BLOCK]).data)
    return digest.hexdigest()

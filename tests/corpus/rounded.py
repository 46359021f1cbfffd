"""Arrays that round whatever is computed with them, as processors with low precision do."""

from functools import lru_cache

import numpy as np


def rounded(values, rounding, *, products_only=False):
    """Return the same dict, with floating-point arrays whose operations are rounded.

    All operations round their results; or only products of matrices round, and then what they
    multiply, as graphics cards do that add in single precision.
    """
    if products_only:
        kind, at_first = kind_of_factor(rounding), np.asarray
    else:
        kind, at_first = kind_of_array(rounding), rounding
    return {
        name: at_first(value).view(kind)
        if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
        else value
        for name, value in values.items()
    }


@lru_cache
def kind_of_array(rounding):
    """Return a class of arrays; sums and products of matrices are rounded once, at their end."""

    class Rounded(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
            plain = [np.asarray(value) for value in inputs]
            result = getattr(ufunc, method)(*plain, **options)
            if np.issubdtype(result.dtype, np.floating):
                result = rounding(np.asarray(result)).view(Rounded)
            if out is None:
                return result
            np.copyto(np.asarray(out[0]), np.asarray(result), casting="unsafe")
            return out[0]

    return Rounded


@lru_cache
def kind_of_factor(rounding):
    """Return a class of arrays that are rounded where matrices are multiplied."""

    class Factor(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
            plain = [np.asarray(value) for value in inputs]
            if ufunc is np.matmul:
                plain = [rounding(value) for value in plain]
            if out is not None:
                options["out"] = tuple(np.asarray(value) for value in out)
            return np.asarray(getattr(ufunc, method)(*plain, **options)).view(Factor)

        def __array_function__(self, function, types, args, options):
            if function is not np.einsum:
                return super().__array_function__(function, types, args, options)
            factors = [rounding(np.asarray(value)) for value in args[1:]]
            return np.einsum(args[0], *factors, **options).view(Factor)

    return Factor


def to_float16(values):
    """Round to the 10 bits of float16, which overflows beyond 65504."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(values.dtype)


def to_bfloat16(values):
    """Round to the 7 bits of bfloat16, to the nearest even number."""
    bits = values.astype(np.float32).view(np.uint32)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    bits = (bits + np.uint32(0x7FFF) + even) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(values.dtype)


def to_tf32(values):
    """Round to 10 bits, as recent graphics cards round a float32."""
    bits = values.astype(np.float32).view(np.uint32)
    bits = (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    return bits.view(np.float32).astype(values.dtype)

"""Significant bits, and bfloat16 as NumPy has it with ml_dtypes."""

import numpy as np
import pytest
from needed import require

from gradcheck_magic._inputs.precision import (
    BFLOAT16,
    DOUBLE,
    FLOAT16,
    SINGLE,
    eps_of,
    rounded,
    significant_bits,
    spacing,
)

require("ml_dtypes", hint="pip install -e '.[test]'")
from ml_dtypes import bfloat16  # noqa: E402


@pytest.mark.parametrize(("value", "bits"), [
    (np.float64(1), DOUBLE),
    (np.zeros(1, dtype=">f4"), SINGLE),
    (np.float16(1), FLOAT16),
    (bfloat16(1), BFLOAT16),
    (np.zeros(1, dtype=bfloat16), BFLOAT16),
    (np.longdouble(1), DOUBLE),
    (np.int8(1), DOUBLE),
    (1.0, DOUBLE),
    ([1.0], DOUBLE),
])  # fmt: skip
def test_significant_bits(value, bits):
    assert significant_bits(value) == bits


@pytest.mark.parametrize("bits", [DOUBLE, SINGLE, FLOAT16])
def test_eps(bits):
    assert eps_of(bits) == np.finfo({DOUBLE: "f8", SINGLE: "f4", FLOAT16: "f2"}[bits]).eps


def test_rounded():
    """To the nearest, and half way to the even one, as ml_dtypes and torch do."""
    random = np.random.default_rng(0)
    values = random.normal(size=1000) * 10.0 ** random.integers(-30, 30, 1000)
    values = np.float32([*values, 0, -0.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, np.inf, 3.4e38])
    found = rounded(values, BFLOAT16)
    assert found.dtype == np.float32
    assert found.tobytes() == values.astype(bfloat16).astype(np.float32).tobytes()
    assert rounded(values, SINGLE) is values


def test_spacing():
    values = np.float32([1, -1.5, 100, 3e-5])
    here = values.astype(bfloat16)
    assert spacing(values, BFLOAT16).tolist() == np.abs(np.spacing(here)).astype(float).tolist()
    assert spacing(values, SINGLE).tolist() == np.spacing(np.abs(values)).tolist()

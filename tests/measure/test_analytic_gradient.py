"""The rounding of a gradient is estimated from its largest entry and from the cost."""

from types import SimpleNamespace

import numpy as np
import pytest
from needed import require

from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure.analytic_gradient import gradient_under_test, largest_entry

require("ml_dtypes", hint="pip install -e '.[test]'")
from ml_dtypes import bfloat16  # noqa: E402

NAN, INF = np.nan, np.inf
DOUBLE, SINGLE = float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps)
FLOAT16, BFLOAT16 = 2.0**-10, 2.0**-7


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [
        ([1.0, -3.0, 2.0], 3.0),
        ([1.0, 4.0, -3.0], 4.0),
        pytest.param([NAN, INF, -INF, -0.5], 0.5, id="what is not finite does not count"),
        pytest.param([NAN, INF], 0.0, id="nothing is finite"),
        pytest.param([], 0.0, id="empty"),
    ],
)
def test_largest_entry(gradient, expected):
    assert largest_entry(np.array(gradient)) == expected


@pytest.mark.parametrize(
    ("noise", "scale", "cost_eps", "dtype", "relative"),
    [
        pytest.param(0.0, 1.0, DOUBLE, np.float64, DOUBLE, id="an exact cost"),
        pytest.param(3e-12, 2.0, DOUBLE, np.float64, 1.5e-12, id="a noisy cost"),
        pytest.param(1e-20, 1.0, DOUBLE, np.float64, DOUBLE, id="less noise than rounding"),
        pytest.param(1e-3, 1.0, DOUBLE, np.float64, SINGLE, id="more noise than is excused"),
        pytest.param(1e-3, 1.0, SINGLE, np.float64, 64 * SINGLE, id="a noisy cost in float32"),
        pytest.param(0.0, 1.0, DOUBLE, np.float32, SINGLE, id="a gradient in float32"),
        pytest.param(1e-3, 1.0, DOUBLE, np.float16, FLOAT16, id="a gradient in float16"),
        pytest.param(0.0, 0.0, DOUBLE, np.float64, DOUBLE, id="a cost of zero"),
        pytest.param(1e-9, 0.0, DOUBLE, np.float64, DOUBLE, id="a cost of zero with noise"),
    ],
)
def test_rounding(noise, scale, cost_eps, dtype, relative):
    """The rounding is 32 units of the parameter's largest entry, whatever the others are."""
    grads = [np.array([1e9]), np.array([[0.5, -4.0]], dtype=dtype)]
    pairing = pair([np.ones(1), np.ones((1, 2))], grads)
    cost = SimpleNamespace(own=SimpleNamespace(noise=noise, eps=cost_eps), scale=scale)
    analytic = gradient_under_test(pairing, 1, cost)
    assert analytic.parameter is pairing.checked[1]
    assert analytic.gradient.tolist() == [0.5, -4.0]
    assert analytic.largest == 4.0
    # In float16, what is rounded may also be too small for all its bits.
    least = 2.0**-24 if dtype is np.float16 else 0.0
    assert analytic.rounding == pytest.approx(32 * (relative * 4.0 + least), rel=1e-12)


@pytest.mark.parametrize(
    ("noise", "part"),
    [
        pytest.param(0.0, 4 * BFLOAT16, id="few roundings"),
        pytest.param(2e-2, 0.08, id="a noisy cost"),
        pytest.param(0.5, 0.1, id="HARD: more noise than is excused"),
    ],
)
def test_rounding_in_bfloat16(noise, part):
    """Sums are made in float32, and a factor of 2 must show."""
    pairing = pair([np.ones(1)], [np.array([4.0], dtype=np.float32).astype(bfloat16)])
    cost = SimpleNamespace(own=SimpleNamespace(noise=noise, eps=BFLOAT16), scale=1.0)
    assert gradient_under_test(pairing, 0, cost).rounding == pytest.approx(part * 4.0)

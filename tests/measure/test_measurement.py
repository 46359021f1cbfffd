"""A measurement is full or a scan, depending on the time it takes, and knows how far it got."""

from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure.measurement import FULL_LIMIT, Measurement
from gradcheck_magic._result.verdict import Verdict

THETA = {"W": np.linspace(-1, 1, 40).reshape(8, 5), "b": np.array([0.5, -2.0, 3.0])}
RIGHT = {name: 2 * array for name, array in THETA.items()}


def pairing(size=1000):
    return pair(np.ones(size), np.ones(size))


def chosen(mode, seconds_each, budget=None, **options):
    """Choose for 1000 entries, which take 2000 evaluations in all."""
    found = Measurement(pairing(), options.get("epsilon"), mode)
    cost = SimpleNamespace(seconds_each=seconds_each, bits=options.get("bits", 53))
    found.choose(cost, budget)
    return found


@pytest.mark.parametrize(
    ("mode", "seconds", "budget", "expected", "said"),
    [
        ("auto", 4.9, None, "full", ""),
        ("auto", 5.1, None, "full", "Every entry was measured"),
        ("auto", FULL_LIMIT - 0.1, None, "full", "Every entry was measured"),
        (
            "auto",
            FULL_LIMIT + 0.1,
            None,
            "scan",
            "all 1,000 entries would take 2,000 eval",
        ),
        pytest.param("auto", 60, 61, "full", "the limit was 61 s", id="there is time"),
        pytest.param("auto", 3, 2, "scan", "the limit is 2 s", id="there is little time"),
        pytest.param("full", 1e6, 1, "full", "", id="full was asked for"),
        pytest.param("scan", 1e-6, None, "scan", "", id="a scan was asked for"),
    ],
)
def test_choice(mode, seconds, budget, expected, said):
    found = chosen(mode, seconds / 2000, budget)
    assert found.mode == expected
    assert bool(found.choice) is bool(said)
    assert said in found.choice


@pytest.mark.parametrize(
    ("epsilon", "bits", "expected"),
    [(None, 53, 1e-7), (None, 24, 5e-3), (None, 11, 0.1), (None, 8, 0.3), (1e-4, 24, 1e-4)],
)
def test_step(epsilon, bits, expected):
    assert chosen("auto", 1e-6, epsilon=epsilon, bits=bits).epsilon == expected


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        ("full", 1000, 2000),
        ("auto", 1000, 34),
        ("scan", 1000, 34),
        pytest.param("auto", 10, 20, id="a full check takes fewer"),
    ],
)
def test_expected(mode, size, expected):
    assert Measurement(pairing(size), None, mode).expected == expected


def cost_function(params):
    return float(sum(np.sum(array**2) for array in params.values()))


def measured(mode, grads, cost=cost_function):
    """Measure until the end or an interrupt; return the measurement and how it is judged."""
    together = pair(THETA, grads)
    found = Measurement(together, None, mode)
    with Cost(cost, together.parameters) as entered:
        found.choose(entered, None)
        try:
            found.run(entered, 0)
        except KeyboardInterrupt:
            assert not found.is_done
        return found, *found.judged(entered)


@pytest.mark.parametrize("mode", ["full", "scan"])
@pytest.mark.parametrize("error", [0.0, 0.1])
def test_done(mode, error):
    grads = {"W": RIGHT["W"], "b": RIGHT["b"] + [0, error, 0]}
    found, comparison, entries = measured(mode, grads)
    assert found.is_done
    assert comparison.verdict is (Verdict.BUG if error else Verdict.CORRECT)
    assert entries.positions[comparison.wrong].tolist() == ([41] if error else [])
    # A scan of three entries measures each of them.
    assert len(entries.positions) == (43 if mode == "full" else 3)
    total = "43 entries were measured" if mode == "full" else "2 parameters were looked at"
    assert total in found.so_far


@pytest.mark.parametrize(
    ("mode", "so_far", "n_measured"),
    [("full", "40 of 43 entries", 40), ("scan", "1 of 2 parameters", 0)],
)
def test_interrupted(mode, so_far, n_measured):
    """The interrupt comes as soon as `b` moves alone."""

    def cost(params):
        still = np.array_equal(params["W"], THETA["W"])
        if still and np.count_nonzero(params["b"] != THETA["b"]) == 1:
            raise KeyboardInterrupt
        return cost_function(params)

    found, comparison, entries = measured(mode, RIGHT, cost)
    assert so_far in found.so_far
    assert len(entries.positions) == n_measured
    assert comparison.parameters[1].verdict is Verdict.INCONCLUSIVE


def test_nothing_measured_yet():
    found = Measurement(pairing(), None, "full")
    assert not found.is_done
    assert "0 of 1,000 entries" in found.so_far

"""The verdict on entries that are set by hand, at the edges of error bars and thresholds."""

import math

import numpy as np
import pytest

from gradcheck_magic._cost.directions import Direction, likely_magnitude
from gradcheck_magic._inputs.pairing import pair
from gradcheck_magic._measure.compare import DOUBLE_PRECISION, SINGLE_PRECISION, compare
from gradcheck_magic._measure.measured_entries import MeasuredEntries
from gradcheck_magic._measure.residuals import CERTAINTY, Residual
from gradcheck_magic._measure.sampling import region_of
from gradcheck_magic._measure.scan import planned_scan
from gradcheck_magic._result.verdict import Verdict

CORRECT, INSPECT, BUG, INCONCLUSIVE = (
    Verdict.CORRECT, Verdict.INSPECT, Verdict.BUG, Verdict.INCONCLUSIVE,
)  # fmt: skip
NAN, INF = math.nan, math.inf
# A power of two, so that 1 ± k bars are exact; and just below the thousandth that is required.
BAR = 2.0**-10


def off_by(error):
    """Return a value a whose relative error |n − a| / (|n| + |a|) is this, with n = 1."""
    return (1 + error) / (1 - error)


def entries(analytic, numerical, uncertainty=1e-12, **columns):
    """Return entries of parameters as if all were measured; a column may be a single number."""
    analytic = np.array(analytic, dtype=float)

    def column(value, dtype=float):
        return np.broadcast_to(np.asarray(value, dtype=dtype), analytic.shape).copy()

    numerical = column(numerical)
    return MeasuredEntries(
        positions=np.arange(len(analytic)),
        analytic=analytic,
        textbook=column(columns.get("textbook", numerical)),
        numerical=numerical,
        uncertainty=column(uncertainty),
        rounding=column(columns.get("rounding", 0.0)),
        of_all=column(np.max(np.abs(analytic), initial=0.0, where=np.isfinite(analytic))),
        low=column(columns.get("low", numerical)),
        high=column(columns.get("high", numerical)),
        disputed=column(columns.get("disputed", False), bool),
        settled=column(columns.get("settled", True), bool),
    )


def judged(measured, sizes=None, tolerance=DOUBLE_PRECISION):
    """Compare the gradients; `sizes` divides the entries among parameters."""
    sizes = [len(measured.analytic)] if sizes is None else sizes
    stops = np.cumsum(sizes)[:-1]
    names = [f"p{i}" for i in range(len(sizes))]
    grads = dict(zip(names, np.split(measured.analytic, stops), strict=True))
    pairing = pair({name: np.zeros(n) for name, n in zip(names, sizes, strict=True)}, grads)
    return compare(pairing, measured, tolerance)


def just_more(value):
    return value * (1 + 1e-9)


# The analytic value for a numerical one of 1, its error bar, and the verdict.
EDGES = [
    pytest.param(1.0, 1e-12, CORRECT, id="they agree"),
    pytest.param(1 + BAR, BAR, CORRECT, id="off by one bar"),
    pytest.param(1 + just_more(BAR), BAR, INCONCLUSIVE, id="by more than one"),
    pytest.param(1 + 2 * BAR, BAR, INCONCLUSIVE, id="by two bars"),
    pytest.param(1 - 2 * BAR, BAR, INCONCLUSIVE, id="by two bars downwards"),
    pytest.param(1 + just_more(2 * BAR), BAR, BUG, id="by more than two"),
    pytest.param(1 - just_more(2 * BAR), BAR, BUG, id="by more than two downwards"),
    pytest.param(1.0, 0.999e-3, CORRECT, id="known to three digits"),
    pytest.param(1.0, 1.001e-3, INCONCLUSIVE, id="not known to three digits"),
    pytest.param(1.0, INF, INCONCLUSIVE, id="not known at all"),
    pytest.param(off_by(1.01e-5), 1e-12, BUG, id="off by what is called wrong"),
    pytest.param(off_by(0.99e-5), 1e-12, INSPECT, id="off by less than that"),
    pytest.param(off_by(1.01e-7), 1e-12, INSPECT, id="off by what is worth inspecting"),
    pytest.param(off_by(0.99e-7), 1e-12, CORRECT, id="off by less than that, too"),
    pytest.param(1 + 10.01e-7, 1e-7, INSPECT, id="small, and off by more than ten bars"),
    pytest.param(1 + 9.99e-7, 1e-7, CORRECT, id="small, and off by less than ten bars"),
    pytest.param(-1.0, 1e-12, BUG, id="the other sign"),
    pytest.param(0.0, 1e-12, BUG, id="zero is given"),
    pytest.param(NAN, 1e-12, BUG, id="nan is given"),
    pytest.param(-INF, 1e-12, BUG, id="-inf is given"),
]


@pytest.mark.parametrize(("analytic", "bar", "verdict"), EDGES)
@pytest.mark.parametrize("unit", [1.0, -(2.0**-30), 2.0**40], ids=str)
def test_edges(analytic, bar, verdict, unit):
    """One entry decides the verdict if the others are correct, in any unit."""
    found = judged(entries([unit, unit * analytic], unit, [0.0, abs(unit) * bar]))
    assert found.verdict is verdict
    assert found.parameters[0].verdict is verdict
    expected = {BUG: found.wrong, INSPECT: found.inspect, INCONCLUSIVE: found.unknown}
    for name, mask in expected.items():
        assert mask.tolist() == [False, name is verdict]


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        pytest.param({}, BUG, id="as it is"),
        pytest.param({"rounding": 0.25}, INCONCLUSIVE, id="rounding widens the bar"),
        pytest.param({"rounding": 0.5}, CORRECT, id="rounding explains it"),
        pytest.param({"disputed": True}, INCONCLUSIVE, id="not with enough steps"),
        pytest.param({"numerical": NAN}, INCONCLUSIVE, id="J has no slope there"),
        pytest.param({"settled": False}, BUG, id="not settled: it disagrees all the same"),
        pytest.param({"numerical": 1.5, "settled": False}, INCONCLUSIVE, id="not settled"),
    ],
)
def test_what_excuses_an_entry(change, verdict):
    columns = {"numerical": 1.0, **change}
    found = judged(entries([1.5], columns.pop("numerical"), 1e-6, **columns))
    assert found.verdict is verdict


@pytest.mark.parametrize(
    ("analytic", "error", "verdict"),
    [
        pytest.param(1.0, 0.049, CORRECT, id="known to a twentieth"),
        pytest.param(1.0, 0.051, INCONCLUSIVE, id="not known to a twentieth"),
        pytest.param(off_by(0.99e-5), 1e-8, CORRECT, id="nothing is worth inspecting"),
        pytest.param(off_by(1.01e-5), 1e-8, BUG, id="wrong in the fifth digit"),
    ],
)
def test_single_precision(analytic, error, verdict):
    measured = entries([analytic], 1.0, error)
    assert judged(measured, tolerance=SINGLE_PRECISION).verdict is verdict


@pytest.mark.parametrize(
    ("tolerance", "bar", "verdict", "negligible"),
    [
        pytest.param(SINGLE_PRECISION, 0.9e-3, CORRECT, ("p1",), id="too small to matter"),
        pytest.param(SINGLE_PRECISION, 1.1e-3, INCONCLUSIVE, (), id="large enough to matter"),
        pytest.param(DOUBLE_PRECISION, 0.9e-3, INCONCLUSIVE, (), id="in double precision it does"),
    ],
)
def test_negligible(tolerance, bar, verdict, negligible):
    """A parameter that is small beside the others may be measured to no digit at all."""
    found = judged(entries([1.0, 1e-3], [1.0, 1e-3], [0, bar]), [1, 1], tolerance)
    assert found.negligible == negligible
    assert [check.verdict for check in found.parameters] == [CORRECT, verdict]


def test_what_may_be_forgotten_is_not_negligible():
    """Its note would say that it agrees as far as can be told."""
    found = judged(entries([1.0, 0.0], [1.0, 1e-5], [0, 0.9e-5]), [1, 1], SINGLE_PRECISION)
    assert found.negligible == ()
    assert [check.verdict for check in found.parameters] == [CORRECT, INCONCLUSIVE]


@pytest.mark.parametrize(
    ("analytic", "numerical", "verdict"),
    [
        # 32 units of the largest entry, which is 1, are 7.1e-15; the bar is 1e-13.
        pytest.param(7e-15, 1.9e-13, CORRECT, id="the rounding of the others"),
        pytest.param(7e-15, 2.1e-13, BUG, id="J has a slope there"),
        pytest.param(7.2e-15, 1.9e-13, INCONCLUSIVE, id="more than their rounding"),
        pytest.param(0.0, 0.9e-13, CORRECT, id="exactly zero"),
        pytest.param(0.0, 1.1e-13, INCONCLUSIVE, id="HARD: forgotten, it may be"),
    ],
)
def test_lost_in_rounding(analytic, numerical, verdict):
    """A gradient that is truly zero is not wrong if its entries are no more than rounding."""
    found = judged(entries([1.0, analytic], [1.0, numerical], [0, 1e-13]), [1, 1])
    assert [check.verdict for check in found.parameters] == [CORRECT, verdict]


@pytest.mark.parametrize(
    ("numerical", "bar", "kink", "verdict"),
    [
        pytest.param(0.0, 0.0, 0.0, INCONCLUSIVE, id="exactly zero"),
        pytest.param(1e-12, 1e-12, 0.0, INCONCLUSIVE, id="zero, as far as can be told"),
        pytest.param(0.0, 0.0, 1.0, CORRECT, id="zero between the slopes of a kink"),
    ],
)
def test_nothing_but_zeros(numerical, bar, kink, verdict):
    """A gradient of zeros is not wrong, but it shows nothing."""
    measured = entries([0.0, 0.0], numerical, bar, low=-kink, high=kink)
    assert judged(measured).verdict is verdict


def test_what_is_told():
    """Wrong entries are marked, and each parameter has its worst entry."""
    analytic = [2.0, 1.0, 1.0, 1.0, 4.0, 1.0]
    found = judged(entries(analytic, 1.0), [2, 1, 3])
    assert found.wrong.tolist() == [True, False, False, False, True, False]
    assert [check.n_wrong for check in found.parameters] == [1, 0, 1]
    assert [check.worst.label for check in found.parameters] == ["p0[0]", "p1[0]", "p2[1]"]
    assert [check.start for check in found.parameters] == [0, 2, 3]
    # ‖(1, 0, 0, 0, 3, 0)‖ / (√6 + √24)
    assert found.difference == (pytest.approx(math.sqrt(10) / (3 * math.sqrt(6))), 0.0)
    # ‖(1, 0)‖ / (√2 + √5)
    assert found.parameters[0].difference == pytest.approx(1 / (math.sqrt(2) + math.sqrt(5)))


def test_difference_is_of_the_textbook():
    """The difference is that of the textbook's quotients, but the verdict is not.

    Entries for which there is no quotient use the best value.
    """
    found = judged(entries([1.0, 1.0], 1.0, textbook=[3.0, NAN]))
    # ‖(2, 0)‖ / (‖(3, 1)‖ + ‖(1, 1)‖)
    expected = 2 / (math.sqrt(10) + math.sqrt(2))
    assert (found.verdict, found.difference[0]) == (CORRECT, pytest.approx(expected))


def test_stopped():
    """A parameter is not called correct unless every entry was measured."""
    measured = entries([1.0, 1.0, 2.0], 1.0)
    pairing = pair([np.zeros(2), np.zeros(2), np.zeros(2)], [np.ones(2), [2.0, 1.0], np.ones(2)])
    verdicts = [check.verdict for check in compare(pairing, measured, DOUBLE_PRECISION).parameters]
    assert verdicts == [CORRECT, BUG, INCONCLUSIVE]


# After a scan


def scanned(detectable=1e-6, left=0.0, slope=1.0, largest=2.0, *, is_steady=False):
    """Return a scan of 100 entries of 1 and 2 in which an error of this size would be found."""
    gradient = np.ones(100)
    gradient[0] = largest
    pairing = pair(np.zeros((10, 10)), gradient.reshape(10, 10))
    scan = planned_scan(pairing)
    direction = Direction.over(0, (10, 10), (0,), [])
    bar = detectable * likely_magnitude(CERTAINTY) / 2
    residual = Residual(direction, left * bar, bar, slope, bar / 2, is_steady=is_steady)
    scan.parameters[0].first = scan.parameters[0].rest = residual
    return pairing, scan


def verdict_of(pairing, scan):
    measured = MeasuredEntries.joined(scan.batches)
    found = compare(pairing, measured, DOUBLE_PRECISION, scan)
    assert found.parameters[0].verdict is found.verdict or scan.joint is not None
    return found.verdict


@pytest.mark.parametrize(
    ("scan", "verdict"),
    [
        pytest.param({}, CORRECT, id="nothing is left"),
        pytest.param({"left": 0.99}, CORRECT, id="less is left than one bar"),
        pytest.param({"left": 1.01}, INCONCLUSIVE, id="more is left than one bar"),
        pytest.param({"left": NAN}, INCONCLUSIVE, id="nobody knows what is left"),
        # A thousandth of the largest, which is 2.
        pytest.param({"detectable": 1.99e-3}, CORRECT, id="would have been found"),
        pytest.param({"detectable": 2.01e-3}, INCONCLUSIVE, id="would not have been found"),
    ],
)
def test_scan(scan, verdict):
    assert verdict_of(*scanned(**scan)) is verdict


@pytest.mark.parametrize(
    ("detectable", "verdict"),
    [
        pytest.param(0.99e-3, CORRECT, id="less than a thousandth of the other gradient"),
        pytest.param(1.01e-3, INCONCLUSIVE, id="HARD: more"),
    ],
)
def test_a_zero_gradient_is_zero_beside_the_others(detectable, verdict):
    pairing = pair([np.zeros(10), np.zeros(10)], [np.zeros(10), np.ones(10)])
    scan = planned_scan(pairing)
    direction = Direction.over(0, (10,), (0,), [])
    for each, error in zip(scan.parameters, (detectable, 1e-6), strict=True):
        bar = error * likely_magnitude(CERTAINTY) / 2
        each.first = each.rest = Residual(direction, 0.0, bar, each.largest, bar)
    measured = MeasuredEntries.joined(scan.batches)
    found = compare(pairing, measured, DOUBLE_PRECISION, scan)
    assert [check.verdict for check in found.parameters] == [verdict, CORRECT]


# The gradient has a length of about 10, and the error bar is 2.5e-7 in most of these.
@pytest.mark.parametrize(
    ("scan", "verdict"),
    [
        pytest.param({"left": 1e5}, BUG, id="three steps agree"),
        pytest.param({"left": -1e5}, BUG, id="the other sign"),
        pytest.param({"left": 1e5, "is_steady": False}, INCONCLUSIVE, id="HARD: they do not"),
        pytest.param({"left": 1e3}, INCONCLUSIVE, id="HARD: 2.5e-5 of the gradient"),
        pytest.param({"left": 90, "detectable": 1e-2}, INCONCLUSIVE, id="HARD: 90 error bars"),
        pytest.param({"left": 110, "detectable": 1e-2}, BUG, id="110 error bars"),
        pytest.param({"left": 1e5, "slope": 1e3}, INCONCLUSIVE, id="HARD: a steep direction"),
    ],
)
def test_a_residual_may_prove_a_bug(scan, verdict):
    """It does if it is large beside its bar and the gradient, though no entry was measured."""
    assert verdict_of(*scanned(**{"is_steady": True, **scan})) is verdict


def test_scan_with_everything_moving():
    """If only moving all parameters at once shows an error, the verdict stays open."""
    pairing, scan = scanned()
    scan.joint = scan.parameters[0].first
    assert verdict_of(pairing, scan) is INCONCLUSIVE


@pytest.mark.parametrize(
    ("box", "label", "size"),
    [
        (((0, 10), (0, 10)), "params", 100),
        (((3, 4), (0, 10)), "params[3, :]", 10),
        (((0, 10), (7, 8)), "params[:, 7]", 10),
        (((2, 5), (0, 9)), "params[2:5, 0:9]", 27),
    ],
)
def test_regions_of_a_scan_are_named(box, label, size):
    pairing, scan = scanned()
    scan.parameters[0].sampled.regions = [region_of(pairing.checked[0], box, 3, 4)]
    measured = MeasuredEntries.joined(scan.batches)
    (check,) = compare(pairing, measured, DOUBLE_PRECISION, scan).parameters
    (region,) = check.regions
    assert (region.label, region.size, region.n_wrong, region.n_tried) == (label, size, 3, 4)
    assert region.box == box
    assert check.is_scanned
    assert (check.largest, check.typical) == (2.0, pytest.approx(math.sqrt(1.03)))

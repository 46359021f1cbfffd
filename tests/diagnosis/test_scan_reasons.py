"""A question that a scan leaves open has a reason, which names the parameters concerned."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck_magic._diagnosis.scan_reasons import scan_reasons
from gradcheck_magic._measure.residuals import Residual
from gradcheck_magic._measure.sampling import Sampled
from gradcheck_magic._result.parameter_check import WrongRegion
from gradcheck_magic._result.verdict import Verdict

CORRECT, BUG, OPEN = Verdict.CORRECT, Verdict.BUG, Verdict.INCONCLUSIVE


def residual(value=2e-3, bar=1e-5, noise=1e-5, on_kink=False):
    return Residual(None, value, bar, 0.5, noise, on_kink)


def parameter(name, verdict=CORRECT, *, told=(), **more):
    """Return the results of a scan for one parameter, and its check."""
    found = {
        "parameter": SimpleNamespace(name=name), "is_measured": True, "is_enumerated": False,
        "is_explained": True, "is_proven_wrong": False, "first": residual(), "rest": residual(),
        "detectable": 0.5, "largest": 0.25, "sampled": Sampled(),
        "regions": list(told), **more,
    }  # fmt: skip
    return SimpleNamespace(**found), SimpleNamespace(verdict=verdict, regions=told)


def reasons(*parameters, joint=None, verdict=None, difference=1e-3):
    """Return the reasons for a scan of some parameters."""
    scans, checks = zip(*parameters, strict=True)
    found = {check.verdict for check in checks}
    verdict = verdict or next((v for v in (BUG, OPEN) if v in found), CORRECT)
    evidence = SimpleNamespace(
        comparison=SimpleNamespace(parameters=checks, difference=(difference, 0.0)),
        verdict=verdict,
        is_cut_short=False,
        cost=SimpleNamespace(name="J", is_single=False, best=SimpleNamespace(noise=3e-7)),
    )
    return list(scan_reasons(evidence, SimpleNamespace(parameters=scans, joint=joint)))


def about(sentence, names):
    """Return True if a sentence has just these names, in code or after the option ``--only``."""
    only = re.findall(r"--only ([^`(]*?) \(", sentence)
    quoted = re.findall(r"`([^`]*)`", sentence)
    return {*quoted, *" ".join(only).split()} - {"J"} == set(names)


ROW = WrongRegion("W[3, :]", 1000, 7, 7)
MANY = WrongRegion("W[3, :]", 1000, 5, 7)


@pytest.mark.parametrize(("parameters", "names"), [
    pytest.param([parameter("W")], None, id="all is right"),
    pytest.param([parameter("W", BUG)], None, id="wrong, and all of it is known"),
    pytest.param([parameter("W", BUG, told=(ROW,))], ["W[3, :]"], id="a row"),
    pytest.param([parameter("W", BUG, is_explained=False)], ["W"], id="not located"),
    pytest.param([parameter("W", OPEN, is_explained=False)], ["W"], id="cannot be told"),
    pytest.param([parameter("W", BUG, is_explained=False, is_measured=False)], None,
                 id="HARD: not looked at yet"),
    pytest.param([parameter("W", BUG, is_explained=False, told=(ROW,))], ["W[3, :]"],
                 id="HARD: a region is told of already"),
    pytest.param([parameter("W", OPEN)], ["W"], id="too blunt"),
    pytest.param([parameter("W", OPEN, detectable=1e-5)], None, id="HARD: an entry is open"),
    pytest.param([parameter("W", OPEN, first=residual(on_kink=True))], ["W"], id="on a kink"),
    pytest.param([parameter("W", OPEN, first=residual(bar=1e-3))], ["W"], id="sharp bends"),
    pytest.param([parameter("W", OPEN), parameter("b"), parameter("V", OPEN)], ["W", "V"],
                 id="two are blunt"),
])  # fmt: skip
def test_one_reason(parameters, names):
    told = reasons(*parameters)
    assert len(told) == (names is not None)
    assert all(about(sentence, names) for sentence in told)


@pytest.mark.parametrize(("found", "joint", "count"), [
    ((CORRECT, None), True, 1), ((OPEN, None), True, 2), ((OPEN, None), False, 1),
    ((CORRECT, None), False, 0),
])  # fmt: skip
def test_what_no_parameter_shows_by_itself(found, joint, count):
    told = reasons(
        parameter("W", found[0]), joint=residual(2.5e-3, 1.5e-5) if joint else None, verdict=OPEN
    )
    assert len(told) == count
    assert any("2.5e-03" in t and "1.5e-05" in t for t in told) == joint


@pytest.mark.parametrize(("difference", "is_told"), [
    pytest.param(1e-3, False, id="the difference shows it"),
    pytest.param(1e-6, True, id="HARD: it hides it"),
    pytest.param(np.nan, False, id="HARD: nan hides nothing"),
])  # fmt: skip
def test_hidden(difference, is_told):
    told = reasons(parameter("W", BUG), difference=difference)
    assert len(told) == is_told
    assert all("1.0e-06" in sentence for sentence in told)


def test_the_numbers():
    """A sentence has the error and its error bar, or the number of wrong entries and of all."""
    (unlocated,) = reasons(parameter("W", OPEN, is_explained=False, rest=residual(-2e-3, 3e-5)))
    assert {"2.0e-03", "3.0e-05"} <= set(re.findall(r"\d\.\de-\d+", unlocated))
    (region,) = reasons(parameter("W", BUG, told=(MANY,)))
    assert set(re.findall(r"[\d,]+", region.replace("W[3, :]", ""))) >= {"5", "7", "1,000"}


def test_the_bluntest_is_the_example():
    """The example is the parameter with the largest error bar relative to its entries."""
    one = parameter("W", OPEN, detectable=0.5, largest=0.25)
    other = parameter("V", OPEN, detectable=0.06, largest=0.02)
    (told,) = reasons(one, other)
    assert "6.0e-02" in told
    assert "2.0e-02" in told
    assert "5.0e-01" not in told


def test_kinks_and_noise_are_told_apart():
    """Moving the parameters helps where kinks are close, but not against noise."""
    bent, noisy = parameter("W", OPEN, first=residual(bar=1e-3)), parameter("V", OPEN)
    told = reasons(bent, noisy)
    assert ["Move the parameters" in sentence for sentence in told] == [True, False]
    assert [about(sentence, [name]) for sentence, name in zip(told, "WV", strict=True)] == [
        True
    ] * 2


def test_each_reason_is_another():
    """Noise, sharp bends and so on each have a sentence of their own."""
    cases = (
        {}, {"first": residual(bar=1e-3)}, {"is_explained": False},
        {"is_explained": False, "rest": residual(bar=np.inf)},
        {"is_explained": False, "rest": None},
        {"is_explained": False, "sampled": Sampled(ks=[1], wrong={1})},
    )  # fmt: skip
    told = [reasons(parameter("W", OPEN, **case))[0] for case in cases]
    # The sentence is the same without a residual and with one that is not finite.
    assert len(set(told)) == len(told) - 1

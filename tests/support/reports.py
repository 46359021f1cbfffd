"""Checks of every kind, whose reports are the same on every machine."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from networks import ClassicExercise, Digits, Network, Smooth

from gradcheck_magic import (
    Cause,
    Diagnosis,
    Entry,
    GradientCheck,
    GradientCheckInterrupted,
    ParameterCheck,
    Verdict,
    check_gradients,
)
from gradcheck_magic._result.parameter_check import index_of, label, severity

# Entries within this many error bars agree; the rest is rounding, which depends on the machine.
BARS = 4
# Differences below this are due to rounding.
ROUND_OFF = 1e-6


def settled(check):
    """Return a check without what depends on the machine: time, rounding and their consequences."""
    off = np.abs(check.analytic - check.numerical)
    agree = ~check.wrong & (off <= BARS * check.uncertainty)
    settled_check = replace(
        check,
        difference=_difference(check.difference),
        difference_uncertainty=1e-9 if check.difference_uncertainty else 0.0,
        diagnoses=tuple(
            replace(d, sentence=re.sub(r"to \d+ digits", "to 5 digits", d.sentence))
            for d in check.diagnoses
        ),
        numerical=np.where(agree, check.analytic * (1 - 4e-9), _in_six_digits(check.numerical)),
        uncertainty=_bar(check.uncertainty),
        noise=1e-16,
        n_evaluations=60 if check.mode == "scan" else 2 * check.size + 10,
        seconds=1.25,
        detectable=_bar(check.detectable, 3e-9),
    )
    parameters = tuple(_parameter(settled_check, p) for p in check.parameters)
    return replace(settled_check, parameters=parameters)


def _in_six_digits(values):
    return np.array([float(f"{value:.5e}") for value in values])


def _bar(value, bar=1e-9):
    """Return a fixed error bar, or the value itself if it is infinite or nan."""
    return np.where(np.isfinite(value), bar, value)[()]


def _difference(value):
    """Return a difference, rounded to one digit if it is small enough to show rounding errors."""
    if 0 < value < ROUND_OFF:
        return 2e-9
    return float(f"{value:.0e}") if value < 1e-3 else value


def _parameter(check, parameter):
    return replace(
        parameter,
        difference=_difference(parameter.difference),
        difference_uncertainty=_bar(parameter.difference_uncertainty),
        detectable=_bar(parameter.detectable, 2e-5 * parameter.largest),
        worst=parameter.worst and _worst(check, parameter),
    )


def _worst(check, parameter):
    """Return the worst entry; if all agree, any could be the worst, so return the largest."""
    stop = parameter.start + parameter.size
    positions = np.flatnonzero((parameter.start <= check.measured) & (check.measured < stop))
    analytic, numerical = check.analytic[positions], check.numerical[positions]
    ranks = severity(analytic, numerical, check.wrong[positions])
    if parameter.verdict is Verdict.CORRECT:
        ranks = np.abs(analytic)
    worst = positions[np.argmax(ranks)]
    index = index_of(int(check.measured[worst]) - parameter.start, parameter.shape)
    values = check.analytic[worst], check.numerical[worst], check.uncertainty[worst]
    spoken = label(parameter.name, index, parameter.output_axes)
    return Entry(spoken, index, *map(float, values))


def checked(net, grads, **options):
    return settled(check_gradients(net.params, grads, net.cost, **options))


def correct():
    net = Smooth()
    return checked(net, net.grads())


def inspect():
    net = Smooth()
    grads = net.grads()
    return checked(net, {**grads, "dW2": grads["dW2"] * (1 + 4e-6)})


def wrong_shape():
    """Check a column of parameters whose gradient is flat, and one of several parameters."""
    net = Smooth()
    params = {**net.params, "b1": net.params["b1"][:, None]}
    return settled(
        check_gradients(
            params,
            net.grads(),
            lambda p: net.cost({**p, "b1": p["b1"][:, 0]}),
            only=["W1", "b1"],
        )
    )


def upstream():
    """Check a gradient that lacks the derivative of an activation."""
    net = Digits()
    return checked(net, net.grads("slope of layer 2"), names=net.namespace)


def two_bugs():
    """Check the exercise of many courses, with both bugs."""
    net = ClassicExercise()
    return checked(net, net.grads(bugs=True))


def inconclusive():
    """Check a cost that is not a number if the first entry changes."""

    def cost(theta):
        return float(theta[1] ** 2) if theta[0] == 1 else np.nan

    return settled(check_gradients(np.array([1.0, 2.0]), np.array([0.0, 4.0]), cost))


def scan():
    """Scan 987,210 entries."""
    net = Network.large("tanh", 0)
    return checked(net, net.grads(), mode="scan")


def scan_of_wrong_rows():
    """Scan a cost that is rounded only once: the choice of entries may depend on every digit."""
    random = np.random.default_rng(0)
    params = {"W": random.normal(size=(200, 100)), "b": random.normal(size=50)}
    grads = {f"d{name}": array.copy() for name, array in params.items()}
    grads["dW"][[3, 100]] *= 2
    grads["db"][17] = 0

    def cost_function(params):
        return math.fsum(np.concatenate([w.ravel() ** 2 / 2 for w in params.values()]).tolist())

    return settled(check_gradients(params, grads, cost_function, mode="scan"))


def interrupted():
    """Interrupt a check at the first entry of the third of four parameters."""
    net = Smooth()

    def cost(params):
        moved = [name for name in params if not np.array_equal(params[name], net.params[name])]
        if moved == ["W2"]:
            raise KeyboardInterrupt
        return net.cost(params)

    try:
        check_gradients(net.params, net.grads(), cost)
    except GradientCheckInterrupted as error:
        return settled(error.check)


def not_finite():
    net = Smooth()
    grads = net.grads()
    grads["dW1"][1, 2] = np.inf
    grads["db2"][0] = np.nan
    return checked(net, grads)


def kinks():
    """Check |w| at zero, where any slope from −1 to 1 is correct."""
    params, grads = {"w": np.array([0.0, 0.0, 3.0])}, {"dw": np.array([0.5, -1.0, 1.0])}

    def cost_function(params):
        return np.abs(params["w"]).sum()

    return settled(check_gradients(params, grads, cost_function))


def twice(names: Sequence[str], wrong: Sequence[str], previous=None):
    """Check some parameters, with twice the correct gradient in some of them."""
    params = {name: np.array([1.0, 2.0]) for name in names}
    grads = {name: 2 * w * (2 if name in wrong else 1) for name, w in params.items()}

    def cost_function(params):
        return sum(float(w @ w) for w in params.values())

    return settled(check_gradients(params, grads, cost_function, previous=previous))


def one_fixed_of_two():
    return twice(["W1", "W2"], ["W1"], previous=twice(["W1", "W2"], ["W1", "W2"]))


def numbered(*numbers):
    return [f"W{number}" for number in numbers]


def many_parameters():
    return twice(numbered(*range(200)), numbered(7, 150, 199))


def many_wrong_parameters():
    return twice(numbered(*range(100)), numbered(*range(10, 80)))


def jacobian():
    """Check the blocks of a Jacobian, of which one has a wrong column."""
    a, b = np.array([1.0, -2.0, 0.5]), np.array([0.25, 2.0])
    data = np.arange(12.0).reshape(4, 3) / 5 - 1

    def outputs(p):
        return {"f": np.tanh(data @ p["a"]), "g": p["a"][:2] * p["b"]}

    slope = (1 - np.tanh(data @ a) ** 2)[:, None] * data * [1.0, 2.0, 1.0]
    given = {("f", "a"): slope, ("g", "a"): np.eye(2, 3) * b[:, None], ("g", "b"): np.diag(a[:2])}
    return settled(check_gradients({"a": a, "b": b}, given, outputs))


def names():
    """Check names that are wide, long or accented, or must not reach a terminal."""
    strange = [
        "θ", "权重", "a_name_that_is_long_indeed", "Größe", "e\u0301", "W\n1", "\x1b[31mred", "🙂",
        "`b`", "\ud800",
    ]  # fmt: skip
    return twice(strange, ["权重", "\x1b[31mred"])


def result_by_hand():
    """Return an invented result with one of everything."""
    analytic = np.array([2e-2, 2e-2, 4e-2, np.nan, 0.5, 0.5, 1, 1, 1, 1, 1, 0.3, 0.3])
    numerical = np.array(
        [1e-2, 1e-2, 2e-2, -1.25, 0.5, 0.5 * (1 + 4e-9), 1.00001, 1, 1, 1, np.nan, 0.1, 0.1]
    )

    starts = {"W": 0, "b": 3, "V": 4, "U": 6, "T": 10, "long_name": 11}

    def parameter(name, shape, verdict, difference, n_wrong=0, *, worst=None):
        size = int(np.prod(shape))
        entry = worst and Entry(worst[0], (), *worst[1:], 1e-9)
        return ParameterCheck(
            name, shape, size, verdict, difference, size, n_wrong, entry, starts[name]
        )

    bug, nan = Verdict.BUG, np.nan
    twice = (
        "`dW` is 2.000 times the numerical gradient, in all 3 entries. Look at where `dW` is "
        "formed."
    )
    lost = "`db` is nan or infinite in 1 of 1 entries. Look for an overflow."
    return GradientCheck(
        verdict=bug,
        difference=0.285,
        difference_uncertainty=0.0,
        parameters=(
            parameter("W", (1, 3), bug, 1 / 3, 3, worst=("W[0, 2]", 4e-2, 2e-2)),
            parameter("b", (), bug, nan, 1, worst=("b", nan, -1.25)),
            parameter("V", (2,), Verdict.CORRECT, 1.2e-9, 0, worst=("V[1]", 0.5, 0.5)),
            parameter("U", (4,), Verdict.INSPECT, 2e-6, 0, worst=("U[0]", 1.0, 1.00001)),
            parameter("T", (1,), Verdict.INCONCLUSIVE, 0.0, 0, worst=("T[0]", 1.0, nan)),
            parameter("long_name", (2,), bug, 0.5),
        ),
        diagnoses=(
            Diagnosis(Cause.SCALE, ("W",), twice, {"factor": 2.0}),
            Diagnosis(Cause.ENTRIES, ("b",), lost, {}),
        ),
        measured=np.arange(13),
        analytic=analytic,
        numerical=numerical,
        uncertainty=np.full(13, 1e-9),
        wrong=np.array(4 * [True] + 9 * [False]),
        kinked=np.zeros(13, dtype=bool),
        mode="full",
        call="flat",
        epsilon=1e-7,
        cost=np.log(2),
        noise=2e-16,
        n_evaluations=40,
        seconds=1.25,
        detectable=1e-9,
        size=20,
        interrupted=True,
        reasons=("Interrupted: 13 of 20 entries were measured.",),
        notes=("`cost` returns several values: the first was used as the cost.",),
    )


REPORTS = {
    make.__name__: make
    for make in (
        correct, inspect, wrong_shape, upstream, two_bugs, inconclusive, scan, scan_of_wrong_rows,
        interrupted, not_finite, kinks, one_fixed_of_two, many_parameters, many_wrong_parameters,
        jacobian, names, result_by_hand,
    )
}  # fmt: skip

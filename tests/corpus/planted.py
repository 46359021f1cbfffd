"""Bugs for causes that the corpus itself lacks: one row for each, with the cause to be named.

The bugs are gradients of parameters that have been updated since, (n,) against (n, 1), sums over
the wrong axis, parameters that the cost ignores, and gradients that are reshaped, reordered,
symmetrised, clipped, or times an array. The corpus is frozen, and its figures are published; they
do not include these rows.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gradcheck_magic import GradientCheck, check_gradients
from tests.benchmarks.diagnosis import notebook
from tests.corpus import autoencoder, convolution, dense, recurrent, residual
from tests.corpus.bugs import RIGHT
from tests.corpus.family import Arrays, Data, Problem
from tests.corpus.generate import Plan, solved
from tests.corpus.regimes import flat
from tests.corpus.truth import differentiate


class Given(NamedTuple):
    """The arguments of the check.

    Attributes
    ----------
    params, grads, cost
        The arguments of `check_gradients`.
    data : dict
        The variables in the notebook, if they are not the data of the problem.
    earlier : tuple
        Parameters, gradients and cost of the previous check, if there was one.
    """

    params: Arrays
    grads: Arrays
    cost: Callable[[Arrays], Any]
    data: Data = {}  # noqa: RUF012  # nobody changes it
    earlier: tuple = ()


class Row(NamedTuple):
    """A planted bug.

    Attributes
    ----------
    family : str
        The name of a family in `FAMILIES`.
    bug : str
        The bug in words.
    plant : callable
        A function that makes the arguments of the check from a problem of that family.
    cause : str
        The cause to be named, as it is written in the golden file, with the wrong parameters;
        ``*`` stands for all parameters.
    instead : str
        What the check says so far, if it names something else; empty if it names the cause.
    regime : str
        The name of a regime in `REGIMES`.
    by_chance : bool
        True if the last bits of the cost decide which of the two is said: the error of a correct
        parameter is rounding noise, and so is the number that it is compared with.
    """

    family: str
    bug: str
    plant: Callable[[Problem], Given]
    cause: str
    instead: str = ""
    regime: str = "plain"
    by_chance: bool = False

    @property
    def name(self) -> str:
        """A name like `planted | lstm | plain | updated with a rate of 0.1`."""
        return f"planted | {self.family} | {self.regime} | {self.bug}"

    def given(self) -> Given:
        """Return the arguments of the check."""
        return self.plant(solved(self.family, self.regime, 0)[0])

    def said(self) -> set[str]:
        """Return what the check may say so far, with the names of the parameters."""
        said = {self.cause, self.instead} if self.by_chance else {self.instead or self.cause}
        names = " ".join(self.given().params)
        return {causes.replace("*", names) for causes in said}


def checked(row: Row) -> GradientCheck:
    """Check a row as the cases of the corpus are checked, after its previous check."""
    given = row.given()
    names = {**notebook(Plan(row.family, row.regime, 0, RIGHT)), **given.data}
    check = partial(check_gradients, names=names, mode="full")
    previous = check(*given.earlier) if given.earlier else None
    return check(given.params, given.grads, given.cost, previous=previous)


# Gradients of parameters that have been updated since


def descent(rate):
    """Return the step of gradient descent: θ − α g."""
    return lambda name, value, grad: value - value.dtype.type(rate) * grad


def by_signs(name, value, grad):
    """Step by the sign of the gradient alone, as some optimisers do."""
    return value - 0.02 * np.sign(grad)


def with_momentum(name, value, grad):
    """Step by the gradient plus what is left of earlier gradients."""
    return value - 0.05 * (grad + 0.9 * np.cos(np.arange(grad.size)).reshape(grad.shape))


def with_decay(name, value, grad):
    """Step by the gradient, and shrink the parameter a little."""
    return value - 0.05 * (grad + 0.1 * value)


def updated(step, *, remembered=False):
    """Plant a gradient that was not computed again after the parameters were updated."""

    def plant(problem):
        grads = problem.gradient()
        params = {name: step(name, value, grads[name]) for name, value in problem.params.items()}
        earlier = (problem.params, grads, problem.cost) if remembered else ()
        return Given(params, grads, problem.cost, earlier=earlier)

    return plant


def another_batch(problem):
    """Plant a gradient that has stayed the same while the examples changed."""
    half = problem.data["m"] // 2
    before, now = (of_examples(problem, part) for part in (slice(half), slice(half, 2 * half)))
    grads = before.gradient()
    earlier = problem.params, grads, before.cost
    return Given(problem.params, grads, now.cost, data=now.data, earlier=earlier)


def of_examples(problem, part):
    """Return the same problem with some of the examples."""
    data = {
        name: value[part] if name in {"X", "Y", "exposure"} else value
        for name, value in problem.data.items()
    }
    return replace(problem, data={**data, "m": len(data["X"])})


# (n,) against (n, 1)


OUTPUTS = {
    "dense": lambda xp, p, data: dense.forward(xp, p, data)[0][-1],
    "lasso": lambda xp, p, data: data["X"] @ p["W"] + p["b"],
    "convolution": lambda xp, p, data: convolution.forward(xp, p, data)[-1],
    "residual": lambda xp, p, data: residual.forward(xp, p, data)[-1],
    "recurrence": lambda xp, p, data: recurrent.rnn_forward(xp, p, data)[1][-1] @ p["V"] + p["c"],
    "autoencoder": lambda xp, p, data: autoencoder.forward(xp, p, data)[-1],
}


def square_loss(xp, scores, y):
    return xp.mean((scores - y) ** 2)


def logistic_loss(xp, scores, y):
    """Return a loss in which only the product mixes the two shapes."""
    return xp.mean(xp.logaddexp(0.0, scores) - y * scores)


def weighted_loss(xp, scores, y):
    """Return a loss in which the second array has a weight for each example."""
    return xp.sum(xp.exp(y) * xp.logaddexp(scores, -scores))


def relative_loss(xp, scores, y):
    return xp.sum((scores / (3 + y**2)) ** 2) / 2


def column_against_vector(loss, *, turned=False):
    """Let scores of shape (m,) meet targets of shape (m, 1), or the other way round."""

    def plant(problem):
        data = problem.data
        output = OUTPUTS[problem.family.name.partition(" ")[0]]
        y = data["Y" if "Y" in data else "X"].reshape(data["m"], -1).mean(axis=1)
        column = y if turned else y[:, None]

        def cost(p):
            scores = output(np, p, data).mean(axis=1, keepdims=turned)
            return loss(np, scores, column)

        def meant(xp, p, data):
            return loss(xp, xp.mean(output(xp, p, data), axis=1), y)

        family = replace(problem.family, cost=meant)
        return Given(problem.params, differentiate(replace(problem, family=family)), cost)

    return plant


# Sums over the wrong axis


def over_the_units(*names):
    """Sum gradients of biases over the units: they fit, for there are as many examples."""

    def plant(problem):
        params = problem.params
        few = of_examples(problem, slice(params[names[0]].size))
        # The gradient of a separate bias for each example is the one to be summed over examples.
        each = {name: np.tile(params[name], (few.data["m"], 1)) for name in names}
        of_each = differentiate(replace(few, params={**params, **each}))
        grads = few.gradient() | {name: of_each[name].sum(axis=1) for name in names}
        return Given(params, grads, few.cost, data=few.data)

    return plant


def total(grad):
    """Replace every entry by the sum over all of them."""
    return np.full_like(grad, grad.sum())


def mean(grad):
    """Replace every entry by the mean over all of them."""
    return np.full_like(grad, grad.mean())


def mean_of_rows(grad):
    return np.ones_like(grad) * grad.mean(axis=0)


def sum_of_columns(grad):
    return np.ones_like(grad) * grad.sum(axis=1, keepdims=True)


# Parameters that the cost ignores


def unused(*shape):
    """Add a parameter that the cost does not use."""

    def plant(problem):
        random = np.random.default_rng(0)
        params = {**problem.params, "unused": random.normal(size=shape)}
        grads = {**problem.gradient(), "unused": random.normal(size=shape)}
        return Given(params, grads, problem.cost)

    return plant


def not_handed_over(*names):
    """Let the cost read the notebook's arrays instead of its arguments."""

    def plant(problem):
        kept = {name: problem.params[name].copy() for name in names}
        return Given(
            problem.params, problem.gradient(), lambda params: problem.cost({**params, **kept})
        )

    return plant


def switched_off(name):
    """Multiply a parameter by a mask of zeros alone, as after dropout of everything."""

    def plant(problem):
        def cost(params):
            return problem.cost({**params, name: 0.0 * params[name]})

        off = replace(problem, params={**problem.params, name: 0.0 * problem.params[name]})
        # The gradient is that of the masked parameter; the backward pass forgets the mask.
        return Given(problem.params, off.gradient(), cost)

    return plant


def before_a_norm(problem):
    """Plant a gradient for the bias before batch norm, which subtracts that bias again."""
    detached = problem.gradient("centre of the norm detached")
    return Given(problem.params, {**problem.gradient(), "b1": detached["b1"]}, problem.cost)


# Changes to correct gradients at the end


def end(change, *names):
    """Change some gradients, or all of them."""
    return lambda problem: end_each(**dict.fromkeys(names or problem.params, change))(problem)


def end_each(**changes):
    """Change some gradients, each in its own way."""

    def plant(problem):
        grads = problem.gradient()
        changed = {name: np.array(change(grads[name])) for name, change in changes.items()}
        return Given(problem.params, {**grads, **changed}, problem.cost)

    return plant


def transposed_first(grad):
    return grad.T.reshape(grad.shape)


def transposed_last(grad):
    return grad.reshape(grad.shape[::-1]).T


def written_in_fortran_order(grad):
    """Read the entries row by row, and fill them in column by column."""
    return grad.ravel().reshape(grad.shape, order="F")


def read_in_fortran_order(grad):
    """Read the entries column by column, and fill them in row by row."""
    return grad.ravel(order="F").reshape(grad.shape)


def axes(*order):
    """Put the axes of a kernel in another order, then reshape it."""
    return lambda grad: grad.transpose(order).reshape(grad.shape)


def rows(*order):
    return lambda grad: grad[list(order)]


def columns(*order):
    return lambda grad: grad[:, list(order)]


def shuffled(grad):
    return np.random.default_rng(0).permutation(grad.ravel()).reshape(grad.shape)


def in_order(grad):
    return np.sort(grad.ravel()).reshape(grad.shape)


# Factors that are arrays, and symmetric gradients


def by_array(operation, array, *names):
    """Combine some gradients with an array that the parameter itself or all of them give."""

    def plant(problem):
        grads, params = problem.gradient(), problem.params
        changed = {name: operation(grads[name], array(params[name], params)) for name in names}
        return Given(params, {**grads, **changed}, problem.cost)

    return plant


def itself(value, params):
    return value


def exponential(value, params):
    return np.exp(value)


def called(name, *, as_column=False):
    """Return another parameter, for the columns of a matrix or for its rows."""
    return lambda value, params: params[name][:, None] if as_column else params[name]


def mean_with_transpose(grad):
    return (grad + grad.T) / 2


def sum_with_transpose(grad):
    return grad + grad.T - np.diag(np.diag(grad))


def made_symmetric(name):
    """Let the cost use the symmetric part of a parameter alone, but not the gradient."""

    def plant(problem):
        symmetric = mean_with_transpose(problem.params[name])

        def cost(params):
            return problem.cost({**params, name: mean_with_transpose(params[name])})

        there = replace(problem, params={**problem.params, name: symmetric})
        return Given(problem.params, there.gradient(), cost)

    return plant


# The parameters as already updated, and after many updates


def ahead(rate):
    """Plant the gradient of parameters after an update, of which the check does not know."""

    def plant(problem):
        grads = problem.gradient()
        there = {name: value - rate * grads[name] for name, value in problem.params.items()}
        return Given(problem.params, replace(problem, params=there).gradient(), problem.cost)

    return plant


def after_many_updates(n, rate):
    """Plant the gradient before the last of many updates, when it only grows shorter."""

    def plant(problem):
        params, grads = problem.params, problem.gradient()
        for _ in range(n):
            grads = replace(problem, params=params).gradient()
            params = {name: value - rate * grads[name] for name, value in params.items()}
        return Given(params, grads, problem.cost)

    return plant


# Parts of gradients


def in_part(index, change, *names):
    """Change the same part of some gradients, by a function of the gradient and the parameter."""

    def plant(problem):
        grads = {name: grad.copy() for name, grad in problem.gradient().items()}
        for name in names:
            value = problem.params[name]
            grads[name][index] = change(grads[name][index], value[index])
        return Given(problem.params, grads, problem.cost)

    return plant


def noisy(grad, value):
    return grad + np.sin(1.0 + np.arange(grad.size)).reshape(grad.shape) * np.abs(grad).max()


def penalised(grad, value):
    return grad + 0.1 * value


def exchanged_entries(one, other):
    """Exchange two entries."""

    def change(grad):
        grad = grad.copy()
        grad[one], grad[other] = grad[other], grad[one]
        return grad

    return change


# Clipped


def bound_of(problem, share):
    """Return the bound within which this share of the entries lies."""
    return float(np.quantile(np.abs(flat(problem.gradient())), share))


def clipped(share, *names):
    """Clip entries at a bound, in some gradients or all."""

    def plant(problem):
        bound = bound_of(problem, share)
        return end(lambda grad: np.clip(grad, -bound, bound), *names)(problem)

    return plant


def clipped_on_one_side(problem):
    bound = bound_of(problem, 0.7)
    return end(lambda grad: np.minimum(grad, bound))(problem)


def clipped_in_length(problem):
    """Scale the whole gradient to the length 0.123."""
    length = np.linalg.norm(flat(problem.gradient()))
    return end(lambda grad: grad * 0.123 / length)(problem)


def each_clipped_in_length(*names):
    """Scale the gradients of some parameters to the length 0.0123 each."""
    return end(lambda grad: grad * 0.0123 / np.linalg.norm(grad), *names)


STALE, IGNORED = "STALE(*)", "COST_IGNORES_PARAMETERS"
IN_COST, IN_AXIS = "BROADCAST.cost", "BROADCAST.axis"
RESHAPED, REORDERED, FLIPPED = "TRANSPOSED.reshaped", "TRANSPOSED.reordered", "TRANSPOSED.flipped"
SHIFTED, CLIPPED = "TRANSPOSED.shifted", "ENTRIES.clipped(*)"
LAYERS = "UNKNOWN(W1) UNKNOWN(b1) UNKNOWN(W2) UNKNOWN(b2) UNKNOWN(W3)"
# Short names for four families.
TANH, RELU, SIGMOID = "dense tanh square", "dense relu softmax", "dense sigmoid logistic"
SOFTPLUS = "dense softplus huber"

UPDATED = (
    Row(TANH, "updated with a rate of 0.01", updated(descent(0.01)), STALE),
    Row(TANH, "updated with a rate of 0.5", updated(descent(0.5)), STALE),
    Row(RELU, "updated with a rate of 0.1", updated(descent(0.1)), STALE),
    Row(SIGMOID, "updated with a rate of 0.0321", updated(descent(0.0321)), STALE),
    Row(SOFTPLUS, "updated with a rate of 0.01", updated(descent(0.01)), STALE),
    Row(SOFTPLUS, "updated with a rate of 0.05", updated(descent(0.05)), STALE),
    Row("convolution", "updated with a rate of 0.01", updated(descent(0.01)), STALE),
    Row("recurrence", "updated with a rate of 0.1", updated(descent(0.1)), STALE),
    Row("lstm", "updated with a rate of 0.2", updated(descent(0.2)), STALE),
    Row("attention", "updated with a rate of 0.001", updated(descent(0.001)), STALE),
    Row("batch norm", "updated with a rate of 0.05", updated(descent(0.05)),
        "STALE(W1 gamma beta W2 b2)"),
    Row("residual", "updated with a rate of 0.1", updated(descent(0.1)), STALE),
    Row("residual", "updated with a rate of 0.03", updated(descent(0.03)), STALE),
    Row("embedding", "updated with a rate of 0.1", updated(descent(0.1)), STALE),
    Row("mixture", "updated with a rate of 0.02", updated(descent(0.02)), STALE),
    Row("flow", "updated with a rate of 0.01", updated(descent(0.01)), STALE),
    Row("gaussian process", "updated with a rate of 0.001", updated(descent(0.001)), STALE),
    Row("poisson regression", "updated with a rate of 0.01", updated(descent(0.01)), STALE),
    Row("lasso", "updated with a rate of 0.1", updated(descent(0.1)), STALE),
    Row(TANH, "updated with a rate of 0.1", updated(descent(0.1)), STALE, "", "offset 1e4"),
    Row(TANH, "updated with a rate of 0.1", updated(descent(0.1)), STALE, "", "regularised"),
    Row(TANH, "updated with a rate of 0.1", updated(descent(0.1)), STALE, "", "single precision"),
    Row("lstm", "updated with a rate of 0.1", updated(descent(0.1)), STALE, "", "offset 1e2"),
    Row("recurrence", "updated with a rate of 1e-5", updated(descent(1e-5)), STALE, "",
        "scaled by 1e4"),
    Row(TANH, "updated by signs", updated(by_signs), STALE),
    Row(TANH, "updated with momentum", updated(with_momentum), STALE),
    Row(TANH, "updated by signs after a check", updated(by_signs, remembered=True), STALE),
    Row(TANH, "updated with momentum after a check", updated(with_momentum, remembered=True),
        STALE),
    Row(RELU, "updated with decay after a check", updated(with_decay, remembered=True), STALE),
    Row("convolution", "updated by signs after a check", updated(by_signs, remembered=True), STALE),
    Row("lstm", "updated with decay after a check", updated(with_decay, remembered=True), STALE),
    Row("gaussian process", "updated by signs after a check", updated(by_signs, remembered=True),
        STALE),
    Row("mixture", "updated with a rate of 0.1 after a check",
        updated(descent(0.1), remembered=True), STALE),
    Row("recurrence", "updated by signs after a check", updated(by_signs, remembered=True), STALE,
        "", "single precision"),
    Row(TANH, "another batch after a check", another_batch, STALE),
    Row("attention", "another batch after a check", another_batch, STALE),
    Row("poisson regression", "another batch after a check", another_batch, STALE),
)  # fmt: skip
OUTER = (
    Row(SOFTPLUS, "weights (m, 1)", column_against_vector(weighted_loss), f"{IN_COST}(*)"),
    Row(SOFTPLUS, "(m, 1) / (m,)", column_against_vector(relative_loss, turned=True),
        f"{IN_COST}(*)"),
    Row("lasso", "(m,) / (m, 1)", column_against_vector(relative_loss), f"{IN_COST}(*)"),
    Row("convolution", "weights (m, 1)", column_against_vector(weighted_loss), f"{IN_COST}(*)"),
    Row("residual", "weights (m, 1)", column_against_vector(weighted_loss), f"{IN_COST}(*)"),
    Row("recurrence", "(m, 1) / (m,)", column_against_vector(relative_loss, turned=True),
        f"{IN_COST}(*)"),
    # In these, the gradient of the last bias is correct.
    Row(TANH, "(m,) − (m, 1)", column_against_vector(square_loss),
        f"{IN_COST}(W1 b1 W2 b2 W3)", LAYERS, by_chance=True),
    Row(SIGMOID, "(m, 1) · (m,)", column_against_vector(logistic_loss),
        f"{IN_COST}(W1 b1 W2 b2 W3)", LAYERS, by_chance=True),
    Row("lasso", "(m,) − (m, 1)", column_against_vector(square_loss), f"{IN_COST}(W)",
        "UNKNOWN(W)", by_chance=True),
    Row("convolution", "(m, 1) − (m,)", column_against_vector(square_loss, turned=True),
        f"{IN_COST}(K1 b1 K2 b2 W3)", "UNKNOWN(K1) UNKNOWN(b1) UNKNOWN(K2) UNKNOWN(b2) UNKNOWN(W3)",
        by_chance=True),
    Row("convolution", "(m, 1) − (m,)", column_against_vector(square_loss, turned=True),
        f"{IN_COST}(K1 b1 K2 b2 W3)", "UNKNOWN(K1) UNKNOWN(b1) UNKNOWN(K2) ENTRIES(b2) ENTRIES(W3)",
        "plain, another size", by_chance=True),
    Row("recurrence", "(m,) − (m, 1)", column_against_vector(square_loss),
        f"{IN_COST}(Wx Wh b V)", "UPSTREAM(Wx Wh b V)", by_chance=True),
    Row("autoencoder", "(m,) − (m, 1)", column_against_vector(square_loss), f"{IN_COST}(W b)",
        "UPSTREAM(W b)", by_chance=True),
    Row("autoencoder", "(m, 1) · (m,)", column_against_vector(logistic_loss), f"{IN_COST}(W b)",
        "UPSTREAM(W b)", by_chance=True),
)  # fmt: skip
SUMMED = (
    Row(TANH, "b2 summed over the units", over_the_units("b2"), f"{IN_AXIS}(b2)"),
    Row(RELU, "b1 summed over the units", over_the_units("b1"), f"{IN_AXIS}(b1)"),
    Row(SOFTPLUS, "b1 and b2 summed over the units", over_the_units("b1", "b2"),
        f"{IN_AXIS}(b1) {IN_AXIS}(b2)"),
    Row("lasso", "b summed over the units", over_the_units("b"), f"{IN_AXIS}(b)"),
    Row("residual", "b1 summed over the units", over_the_units("b1"), f"{IN_AXIS}(b1)"),
    Row("autoencoder", "c summed over the units", over_the_units("c"), f"{IN_AXIS}(c)"),
    Row("recurrence", "b summed over the units", over_the_units("b"), f"{IN_AXIS}(b)"),
    Row(TANH, "one sum for b1", end(total, "b1"), "BROADCAST.sum(b1)"),
    Row(RELU, "one mean for b2", end(mean, "b2"), "BROADCAST.mean(b2)"),
    Row("lstm", "one sum for b", end(total, "b"), "BROADCAST.sum(b)"),
    Row("attention", "one mean for beta", end(mean, "beta"), "BROADCAST.mean(beta)"),
    Row("batch norm", "one sum for gamma", end(total, "gamma"), "BROADCAST.sum(gamma)"),
    Row("autoencoder", "mean over the rows of W", end(mean_of_rows, "W"), "BROADCAST.mean(W)"),
    Row("recurrence", "sum over the columns of Wh", end(sum_of_columns, "Wh"), "BROADCAST.sum(Wh)"),
    Row("convolution", "one sum for b1, one mean for b2",
        end_each(b1=total, b2=mean), "BROADCAST.sum(b1) BROADCAST.mean(b2)"),
)  # fmt: skip
NOT_USED = (
    Row(TANH, "a matrix unused", unused(4, 3), f"{IGNORED}(unused)"),
    Row("lstm", "a vector unused", unused(5), f"{IGNORED}(unused)"),
    Row("gaussian process", "one entry unused", unused(1), f"{IGNORED}(unused)"),
    Row("attention", "a kernel unused", unused(2, 3, 2), f"{IGNORED}(unused)", "", "offset 1e4"),
    Row(RELU, "b2 not handed over", not_handed_over("b2"), f"{IGNORED}(b2)"),
    Row(SIGMOID, "W1 and b1 not handed over", not_handed_over("W1", "b1"), f"{IGNORED}(W1 b1)"),
    Row("recurrence", "Wh not handed over", not_handed_over("Wh"), f"{IGNORED}(Wh)"),
    Row("convolution", "K2 not handed over", not_handed_over("K2"), f"{IGNORED}(K2)"),
    Row("mixture", "logits not handed over", not_handed_over("logits"), f"{IGNORED}(logits)"),
    Row("lasso", "b not handed over", not_handed_over("b"), f"{IGNORED}(b)", "",
        "single precision"),
    Row("attention", "beta switched off", switched_off("beta"), f"{IGNORED}(beta)"),
    Row("residual", "V1 switched off", switched_off("V1"), f"{IGNORED}(V1)"),
    Row("flow", "c switched off", switched_off("c"), f"{IGNORED}(c)"),
    Row("batch norm", "the bias before the norm", before_a_norm, f"{IGNORED}(b1)"),
)  # fmt: skip
RESHAPES = (
    Row(TANH, "W1 transposed, then reshaped", end(transposed_first, "W1"), f"{RESHAPED}(W1)"),
    Row(TANH, "W3 reshaped, then transposed", end(transposed_last, "W3"), f"{RESHAPED}(W3)"),
    Row(RELU, "W1 in Fortran's order", end(written_in_fortran_order, "W1"), f"{RESHAPED}(W1)"),
    Row(SIGMOID, "W1 and W3 in Fortran's order", end(read_in_fortran_order, "W1", "W3"),
        f"{RESHAPED}(W1) {RESHAPED}(W3)"),
    Row("lstm", "W transposed, then reshaped", end(transposed_first, "W"), f"{RESHAPED}(W)"),
    Row("recurrence", "Wx reshaped, then transposed", end(transposed_last, "Wx"),
        f"{RESHAPED}(Wx)"),
    Row("autoencoder", "W in Fortran's order", end(read_in_fortran_order, "W"), f"{RESHAPED}(W)"),
    Row("residual", "W0 in Fortran's order", end(written_in_fortran_order, "W0"),
        f"{RESHAPED}(W0)"),
    Row("convolution", "K1 in Fortran's order", end(read_in_fortran_order, "K1"),
        "TRANSPOSED.transposed(K1)"),
    Row("convolution", "K1 with two axes exchanged", end(axes(1, 0, 2), "K1"), f"{RESHAPED}(K1)"),
    Row("convolution", "K2 with its axes turned", end(axes(1, 2, 0), "K2"), f"{RESHAPED}(K2)"),
    Row("convolution", "K2 in Fortran's order", end(written_in_fortran_order, "K2"),
        f"{RESHAPED}(K2)", "", "single precision"),
    Row("lasso", "W in Fortran's order", end(written_in_fortran_order, "W"), f"{RESHAPED}(W)", "",
        "offset 1e4"),
)  # fmt: skip
REORDERS = (
    Row(TANH, "rows of W1 in another order", end(rows(2, 0, 3, 1), "W1"), f"{REORDERED}(W1)"),
    Row(TANH, "rows of W1 reversed", end(rows(3, 2, 1, 0), "W1"), f"{FLIPPED}(W1)"),
    Row(RELU, "two rows of W1 exchanged", end(rows(0, 2, 1, 3), "W1"), f"{REORDERED}(W1)"),
    Row(SIGMOID, "columns of W3 exchanged", end(columns(1, 0), "W3"), f"{FLIPPED}(W3)"),
    Row(SOFTPLUS, "columns of W2 in another order", end(columns(4, 2, 0, 1, 3), "W2"),
        f"{REORDERED}(W2)"),
    Row("recurrence", "rows of Wh moved up by one", end(rows(1, 2, 3, 0), "Wh"),
        f"{SHIFTED}(Wh)"),
    Row("lstm", "gates of W in another order",
        end(columns(3, 4, 5, 0, 1, 2, 6, 7, 8, 9, 10, 11), "W"), f"{REORDERED}(W)"),
    Row("lstm", "b shuffled", end(shuffled, "b"), f"{REORDERED}(b)"),
    Row("attention", "Wq shuffled", end(shuffled, "Wq"), f"{REORDERED}(Wq)"),
    Row("attention", "gamma reversed", end(np.flip, "gamma"), f"{FLIPPED}(gamma)"),
    Row("embedding", "E sorted", end(in_order, "E"), f"{REORDERED}(E)"),
    Row("attention", "Wv sorted", end(in_order, "Wv"), f"{REORDERED}(Wv)"),
    Row("batch norm", "W1 shuffled, beta reversed", end_each(W1=shuffled, beta=np.flip),
        f"{REORDERED}(W1) {FLIPPED}(beta)"),
    Row("convolution", "K1 flipped in width", end(lambda grad: grad[..., ::-1], "K1"),
        f"{FLIPPED}(K1)"),
    Row("gaussian process", "inputs moved by one", end(lambda grad: np.roll(grad, 1, 0), "inputs"),
        f"{SHIFTED}(inputs)"),
    Row("poisson regression", "rows of W in another order", end(rows(4, 1, 0, 7, 2, 5, 3, 6), "W"),
        f"{REORDERED}(W)", "", "offset 1e4"),
    Row("residual", "V1 shuffled", end(shuffled, "V1"), f"{REORDERED}(V1)", "",
        "single precision"),
)  # fmt: skip
CLIPS = (
    Row(TANH, "clipped", clipped(0.7), "ENTRIES.clipped(W1 W2 b2 W3 b3)"),
    Row(RELU, "clipped", clipped(0.8), CLIPPED),
    Row("recurrence", "clipped", clipped(0.5), CLIPPED),
    Row("lstm", "clipped", clipped(0.8), CLIPPED),
    Row("attention", "clipped", clipped(0.9), "ENTRIES.clipped(Wk Wv gamma beta)"),
    Row("gaussian process", "clipped", clipped(0.6), CLIPPED),
    Row("mixture", "clipped", clipped(0.7), "ENTRIES.clipped(means log_scales)"),
    Row("lasso", "clipped", clipped(0.7), CLIPPED, "", "offset 1e4"),
    Row("convolution", "clipped", clipped(0.7), "ENTRIES.clipped(K1 K2 b2 W3 b3)", "",
        "single precision"),
    Row(TANH, "W3 clipped", clipped(0.5, "W3"), "ENTRIES.clipped(W3)"),
    Row("lstm", "W clipped", clipped(0.4, "W"), "ENTRIES.clipped(W)"),
    Row(TANH, "clipped on one side", clipped_on_one_side, "ENTRIES.clipped(W1 W2 W3)"),
    Row(TANH, "clipped in length", clipped_in_length, "SCALE(*)"),
    Row("lstm", "clipped in length", clipped_in_length, "SCALE(*)"),
    Row("mixture", "clipped in length", clipped_in_length, "SCALE(*)"),
    Row("recurrence", "Wh clipped in length", each_clipped_in_length("Wh"), "SCALE(Wh)"),
    Row("attention", "Wq and Wk clipped in length", each_clipped_in_length("Wq", "Wk"),
        "SCALE(Wq) SCALE(Wk)"),
)  # fmt: skip
TIMES, OVER = "SCALE.times", "SCALE.divided by"
FACTORS = (
    Row("gaussian process", "logarithm forgotten in both",
        by_array(np.divide, exponential, "log_signal", "log_noise"),
        f"{OVER}(log_signal) {OVER}(log_noise)"),
    Row("gaussian process", "exponential twice in log_length",
        by_array(np.multiply, exponential, "log_length"), f"{TIMES}(log_length)"),
    Row("mixture", "logarithm forgotten", by_array(np.divide, exponential, "log_scales"),
        f"{OVER}(log_scales)"),
    Row("springs", "logarithm forgotten", by_array(np.divide, exponential, "log_stiffness"),
        f"{OVER}(log_stiffness)", "", "offset 1e4"),
    Row("springs", "by the logarithm of rest", by_array(np.multiply, itself, "rest"),
        f"{TIMES}(rest)"),
    Row("attention", "gamma times itself", by_array(np.multiply, itself, "gamma"),
        f"{TIMES}(gamma)"),
    Row(TANH, "W1 divided by itself", by_array(np.divide, itself, "W1"), f"{OVER}(W1)"),
    Row("batch norm", "columns of W1 divided by gamma",
        by_array(np.divide, called("gamma"), "W1"), f"{OVER}(W1)"),
    Row("batch norm", "beta times gamma", by_array(np.multiply, called("gamma"), "beta"),
        f"{TIMES}(beta)", "", "single precision"),
    Row("attention", "rows of Wo divided by gamma",
        by_array(np.divide, called("gamma", as_column=True), "Wo"), f"{OVER}(Wo)"),
)  # fmt: skip
SYMMETRISED = "TRANSPOSED.symmetrised"
SYMMETRIC = (
    Row("recurrence", "Wh and its transpose, halved", end(mean_with_transpose, "Wh"),
        f"{SYMMETRISED}(Wh)"),
    Row("attention", "Wq plus its transpose", end(sum_with_transpose, "Wq"), f"{SYMMETRISED}(Wq)"),
    Row(TANH, "W2 and its transpose, halved", end(mean_with_transpose, "W2"), f"{SYMMETRISED}(W2)",
        "", "single precision"),
    Row("flow", "A plus its transpose", end(sum_with_transpose, "A"), f"{SYMMETRISED}(A)"),
    Row("flow", "W not symmetrised", made_symmetric("W"), f"{SYMMETRISED}(W)"),
    Row("residual", "V1 not symmetrised", made_symmetric("V1"), f"{SYMMETRISED}(V1)"),
)  # fmt: skip
AHEAD = "STALE.after(*)"
UPDATES = (
    Row(TANH, "ahead by a rate of 0.1", ahead(0.1), AHEAD),
    Row(RELU, "ahead by a rate of 0.01", ahead(0.01), AHEAD),
    Row("lstm", "ahead by a rate of 0.05", ahead(0.05), AHEAD),
    Row("attention", "ahead by a rate of 0.0321", ahead(0.0321), AHEAD),
    Row("convolution", "ahead by a rate of 0.0321", ahead(0.0321), AHEAD),
    Row("gaussian process", "ahead by a rate of 0.001", ahead(0.001), AHEAD),
    Row("mixture", "ahead by a rate of 0.02", ahead(0.02), AHEAD),
    Row(TANH, "ahead by a rate of 0.02", ahead(0.02), AHEAD, "", "offset 1e2"),
    Row("poisson regression", "1000 updates", after_many_updates(1000, 0.02), STALE),
    Row("factorisation", "1000 updates", after_many_updates(1000, 0.01), STALE),
    Row("autoencoder", "1000 updates", after_many_updates(1000, 0.01), STALE),
)  # fmt: skip
COLUMN = np.s_[:, 0]
PARTS = (
    Row(TANH, "two entries of b1 exchanged", end(exchanged_entries(0, 3), "b1"),
        f"{REORDERED}(b1)"),
    Row("mixture", "logits reversed", end(np.flip, "logits"), f"{FLIPPED}(logits)"),
    Row(SIGMOID, "b3 reversed", end(np.flip, "b3"), f"{FLIPPED}(b3)"),
    Row("springs", "two entries of rest exchanged", end(exchanged_entries(2, 7), "rest"),
        f"{REORDERED}(rest)"),
    Row("recurrence", "two entries of Wh exchanged",
        end(exchanged_entries((0, 1), (3, 2)), "Wh"), f"{REORDERED}(Wh)"),
    Row("gaussian process", "log_signal negated", end(np.negative, "log_signal"),
        "SIGN(log_signal)"),
    Row("lennard-jones cluster", "log_size negated", end(np.negative, "log_size"),
        "SIGN(log_size)"),
    Row("gaussian process", "log_noise halved", end(lambda grad: grad / 2, "log_noise"),
        "SCALE(log_noise)"),
    Row(TANH, "column 0 of W1 and W2", in_part(COLUMN, noisy, "W1", "W2"), "SLICE(W1) SLICE(W2)"),
    Row(SIGMOID, "column 0 of all weights", in_part(COLUMN, noisy, "W1", "W2", "W3"),
        "SLICE(W1) SLICE(W2) SLICE(W3)"),
    Row(RELU, "rows 0 and 1 of W2 and W3", in_part(np.s_[:2], noisy, "W2", "W3"),
        "SLICE(W2) SLICE(W3)"),
    Row(TANH, "a penalty of column 0", in_part(COLUMN, penalised, "W2"), "REGULARIZATION(W2)"),
    Row("lasso", "a penalty of rows 1 to 3", in_part(np.s_[1:4], penalised, "W"),
        "REGULARIZATION(W)"),
)  # fmt: skip
ROWS = (
    *(*UPDATED, *OUTER, *SUMMED, *NOT_USED, *RESHAPES, *REORDERS, *CLIPS),
    *(*FACTORS, *SYMMETRIC, *UPDATES, *PARTS),
)

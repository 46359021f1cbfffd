"""The Jacobian of a function that returns many numbers, in the forms in which people have it.

A verdict for each output and each input, and as few evaluations as a gradient by the same
parameters takes.
"""

import importlib

import numpy as np
import pytest

from gradcheck_magic import (
    Cause,
    GradientCheckInterrupted,
    InputError,
    Verdict,
    check_gradients,
    step_curve,
)

rng = np.random.default_rng(0)
t = np.linspace(0, 3, 20)
y = 2.5 * np.exp(-1.3 * t) + 0.5
x = np.array([2.0, 1.0, 0.3])
a, b = rng.normal(size=2), rng.normal(size=3)
A, B = rng.normal(size=(4, 2)), rng.normal(size=(4, 3))
M, C = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
AB = {"a": a, "b": b}
NAMES = {"x": x, "a": a, "b": b, "M": M}


def r(x):
    """Return the residuals of a fit of an exponential."""
    return x[0] * np.exp(-x[1] * t) + x[2] - y


def jac(x):
    return np.stack([e := np.exp(-x[1] * t), -x[0] * t * e, np.ones_like(t)], axis=1)


def f(p):
    return A @ p["a"] + B @ p["b"] ** 2


def fg(p):
    return {"f": f(p), "g": p["a"] @ p["a"]}


def pair(a, b):
    return A @ a + B @ b**2, a @ a


def product(M):
    return M @ C


J, FB = jac(x), 2 * B * b
# d(M C)[i, j] / dM[k, l] = δ(i, k) C[l, j]
JM = np.einsum("ik,lj->ijkl", np.eye(2), C)


def sparse(matrix):
    return pytest.importorskip("scipy.sparse").csr_matrix(matrix)


def torch_sparse(matrix):
    return pytest.importorskip("torch").tensor(matrix).to_sparse()


# Parameters, the Jacobian (as a function, which is called in the test), the function, the blocks.
FORMS = [
    pytest.param(x, lambda: J, r, {"∂r/∂x": (20, 3)}, id="a matrix"),
    pytest.param(x, lambda: jac, r, {"∂r/∂x": (20, 3)}, id="a function"),
    pytest.param(x, J.tolist, r, {"∂r/∂x": (20, 3)}, id="lists"),
    pytest.param(x, lambda: sparse(J), r, {"∂r/∂x": (20, 3)}, id="sparse"),
    pytest.param(x, lambda: torch_sparse(J), r, {"∂r/∂x": (20, 3)}, id="torch's sparse"),
    pytest.param(x, lambda: J[:, None], r, {"∂r/∂x": (20, 3)}, id="HARD: (m, 1, n)"),
    pytest.param(x, lambda: J, lambda x: r(x)[:, None], {"∂f/∂x": (20, 1, 3)}, id="f is (m, 1)"),
    pytest.param(x, lambda: J, lambda x: [*r(x)], {"∂f/∂x": (20, 3)}, id="f is a list of floats"),
    pytest.param(x, lambda: J, lambda: r(x), {"∂f/∂x": (20, 3)}, id="HARD: f reads x in place"),
    pytest.param(x, lambda: J, lambda x: (r(x), J), {"∂f/∂x": (20, 3)}, id="f returns both"),
    pytest.param(x, lambda: J[:1], lambda x: r(x)[:1], {"∂f/∂x": (1, 3)}, id="HARD: m = 1"),
    pytest.param(x, lambda: J[0], lambda x: r(x)[:1], {"x": (3,)}, id="HARD: m = 1, as a gradient"),
    pytest.param(x[:1], lambda: J[:, :1], lambda v: r([v[0], 1.0, 0.3]), {"∂f/∂params": (20, 1)},
                 id="HARD: n = 1"),
    pytest.param(x[:1], lambda: J[:, 0], lambda v: r([v[0], 1.0, 0.3]), {"∂f/∂params": (20, 1)},
                 id="HARD: n = 1, flat"),
    pytest.param(2.0, lambda: J[:, 0], lambda v: r([v, 1.0, 0.3]), {"∂f/∂params": (20,)},
                 id="HARD: x is a number"),
    pytest.param(x, lambda: np.array([2 * x, np.ones(3)]), lambda x: (x @ x, x.sum()),
                 {"∂f[0]/∂x": (3,), "∂f[1]/∂x": (3,)}, id="HARD: f is a tuple of numbers"),
    pytest.param(AB, lambda: [{"a": A, "b": FB}, {"a": 2 * a, "b": 0 * b}],
                 lambda p: [*fg(p).values()],
                 {"∂f[0]/∂a": (4, 2), "∂f[0]/∂b": (4, 3), "∂f[1]/∂a": (2,), "∂f[1]/∂b": (3,)},
                 id="HARD: f is a list of arrays"),
    pytest.param(M, lambda: JM, product, {"∂product/∂M": (2, 4, 2, 3)}, id="JAX's shape"),
    pytest.param(M, lambda: JM.reshape(8, 6), product, {"∂product/∂M": (2, 4, 2, 3)},
                 id="HARD: both flattened"),
    pytest.param(M, lambda: JM.reshape(8, 2, 3), product, {"∂product/∂M": (2, 4, 2, 3)},
                 id="HARD: the output flattened"),
    pytest.param(AB, lambda: {"a": A, "b": FB}, f, {"∂f/∂a": (4, 2), "∂f/∂b": (4, 3)},
                 id="by input"),
    pytest.param(AB, lambda: {"da": A, "db": FB}, f, {"∂f/∂a": (4, 2), "∂f/∂b": (4, 3)},
                 id="by input, named as gradients"),
    pytest.param(AB, lambda: np.hstack([A, FB]), f, {"∂f/∂a": (4, 2), "∂f/∂b": (4, 3)},
                 id="one matrix for a dict"),
    pytest.param((a, b), lambda: (A, FB), lambda a, b: pair(a, b)[0],
                 {"∂f/∂a": (4, 2), "∂f/∂b": (4, 3)}, id="a tuple by input"),
    pytest.param([a, b], lambda: [A, FB], lambda a, b: pair(a, b)[0],
                 {"∂f/∂a": (4, 2), "∂f/∂b": (4, 3)}, id="a list by input"),
    pytest.param(AB, lambda: {"f": {"a": A, "b": FB}, "g": {"a": 2 * a, "b": np.zeros(3)}}, fg,
                 {"∂f/∂a": (4, 2), "∂f/∂b": (4, 3), "∂g/∂a": (2,), "∂g/∂b": (3,)},
                 id="by output and input"),
    pytest.param(AB, lambda: {("f", "a"): A, ("f", "b"): FB, ("g", "a"): 2 * a}, fg,
                 {"∂f/∂a": (4, 2), "∂f/∂b": (4, 3), "∂g/∂a": (2,), "∂g/∂b": (3,)},
                 id="HARD: by pairs, without what is zero"),
    pytest.param((a, b), lambda: ((A, FB), (2 * a, np.zeros(3))), pair,
                 {"∂pair[0]/∂a": (4, 2), "∂pair[0]/∂b": (4, 3), "∂pair[1]/∂a": (2,),
                  "∂pair[1]/∂b": (3,)}, id="nested tuples"),
    pytest.param(x, lambda: lambda x: np.diag(12 * x**2), lambda x: 4 * x**3,
                 {"∂f/∂x": (3, 3)}, id="a Hessian"),
    pytest.param(x.astype(np.float32), lambda: J.astype(np.float32), r, {"∂r/∂params": (20, 3)},
                 id="HARD: single precision"),
]  # fmt: skip


def scaled(jacobian, factor):
    """Return a Jacobian of the same form, all of it times a factor."""
    if callable(jacobian):
        return lambda *args: scaled(jacobian(*args), factor)
    if isinstance(jacobian, dict):
        return {key: scaled(value, factor) for key, value in jacobian.items()}
    if isinstance(jacobian, (list, tuple)):
        return type(jacobian)(scaled(part, factor) for part in jacobian)
    return jacobian * factor


@pytest.mark.parametrize("factor", [1.0, 1.01])
@pytest.mark.parametrize(("params", "jacobian", "function", "blocks"), FORMS)
def test_forms(params, jacobian, function, blocks, factor):
    names = {**NAMES, "r": r}
    before = [array.tobytes() for array in (x, a, b, M, J, A, FB)]
    found = check_gradients(params, scaled(jacobian(), factor), function, names=names)
    assert found.verdict is (Verdict.CORRECT if factor == 1 else Verdict.BUG)
    assert {each.name: each.shape for each in found.parameters} == blocks
    assert found.is_jacobian is ("x" not in blocks)
    assert [array.tobytes() for array in (x, a, b, M, J, A, FB)] == before


def planted(change):
    wrong = J.copy()
    change(wrong)
    return wrong


def column(wrong):
    wrong[:, 1] *= -1


def row(wrong):
    wrong[4] *= 2


def entry(wrong):
    wrong[4, 1] *= 1.01


def undefined(wrong):
    wrong[3, 1] = np.nan


square = rng.normal(size=(3, 3))
weights = 1 + t
MISTAKES = [
    pytest.param(
        -J, r, Cause.SIGN, 59,
        "`grads` is −1 times the numerical gradient, in all 59 nonzero entries, to 5 digits: the "
        "sign is reversed. Look at where `grads` is computed.",
        id="y − f for f − y",
    ),
    pytest.param(
        J / 2, r, Cause.SCALE, 59,
        "`grads` is 0.5000 times the numerical gradient, in all 59 nonzero entries, to 5 digits. A "
        "factor of ½: was the 2 from the derivative of a square forgotten? Look at where `grads` "
        "is computed.",
        id="half of it",
    ),
    pytest.param(
        planted(column), r, Cause.SLICE, 19,
        "Column 1 of `grads` is −1 times the numerical gradient; the rest of `grads` is correct "
        "(41 of 60 entries). Look at what is special about that part.",
        id="one parameter",
    ),
    pytest.param(
        planted(row), r, Cause.SLICE, 3,
        "Row 4 of `grads` is 2.000 times the numerical gradient; the rest of `grads` is correct "
        "(57 of 60 entries). Look at what is special about that part.",
        id="one residual",
    ),
    pytest.param(
        planted(entry), r, Cause.ENTRIES, 1,
        "`grads` is wrong in 1 of 60 entries, [4, 1], and correct in the others. Look at what "
        "`grads` sums over, and at what is special about that entry.",
        id="one entry",
    ),
    pytest.param(
        planted(undefined), r, Cause.ENTRIES, 1,
        "`grads` is nan or infinite in 1 of 60 entries. Look for a division by zero or an "
        "overflow.",
        id="nan",
    ),
    pytest.param(
        square.T, lambda x: square @ x, Cause.TRANSPOSED, 6,
        "`grads` is the transpose of the numerical gradient, in all 9 entries, to 5 digits. Look "
        "at the order of the factors in the line that computes `grads`.",
        id="HARD: m = n, transposed",
    ),
    pytest.param(
        J, lambda x: weights * r(x), Cause.SCALE, 57,
        "`grads` is the numerical gradient divided by `weights`, row by row, in all 59 nonzero "
        "entries, to 5 digits: the factor `weights` is missing. Look at where the backward pass "
        "leaves it out.",
        id="weights are missing",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("jacobian", "function", "cause", "n_wrong", "sentence"), MISTAKES)
def test_mistakes(jacobian, function, cause, n_wrong, sentence):
    names = {"x": x, "weights": weights, "r": r}
    found = check_gradients(x, jacobian, function, names=names)
    assert found.verdict is Verdict.BUG
    assert [(each.cause, each.sentence) for each in found.diagnoses] == [(cause, sentence)]
    assert found.wrong.sum() == n_wrong


def test_the_words():
    """The verdict is on the Jacobian, and a label says which output and which parameter."""
    names = {"x": x, "r": r}
    assert check_gradients(x, J, r, names=names).verdict_text == "The Jacobian is correct."
    found = check_gradients(x, planted(entry), r, names=names)
    assert found.verdict_text == "There is a bug in the Jacobian."
    assert found.wrong_entries == (("∂r/∂x", (4, 1)),)
    assert found.worst_entries(1)[0].label == "∂r[4]/∂x[1]"
    assert found.close_up("∂r/∂x").worst(1)[0].label == "∂r[4]/∂x[1]"
    assert "norm of f 1.15893" in str(found)
    assert "Each block of the Jacobian" in found._repr_html_()
    assert found.cost == pytest.approx(np.linalg.norm(r(x)))
    left_out = check_gradients(AB, {"a": A}, f, only=["a"])
    assert left_out.verdict_text == "The Jacobian is correct; `b` was not checked."


FGJ = {"f": {"a": A, "b": FB}, "g": {"a": 2 * a, "b": 0 * b}}
CURVES = [
    pytest.param((x, J, r), ("∂r/∂x", (4, 1)), "∂r[4]/∂x[1]", id="by name and index"),
    pytest.param((x, J, r), ("∂r[4]/∂x[1]",), "∂r[4]/∂x[1]", id="by label"),
    pytest.param((AB, FGJ, fg), ("∂f/∂b", (3, 2)), "∂f[3]/∂b[2]", id="one of several blocks"),
    pytest.param((AB, FGJ, fg), ("∂g/∂a[1]",), "∂g/∂a[1]", id="HARD: the output is a number"),
]


@pytest.mark.parametrize("factor", [1.0, 1.01])
@pytest.mark.parametrize(("check", "entry", "label"), CURVES)
def test_step_curves(check, entry, label, factor):
    """An entry of a Jacobian has a curve of its own, which knows the check."""
    (params, jacobian, function), names = check, {"x": x, "r": r}
    given = params, scaled(jacobian, factor), function
    found = check_gradients(*given, names=names)
    curve = step_curve(*given, *entry, check=found, names=names)
    assert (curve.label, curve.wrong, curve.changed) == (label, factor != 1, ())
    same = next(each for each in found.worst_entries() if each.label == label)
    assert (curve.analytic, curve.best) == (same.analytic, same.numerical)
    other = params, scaled(jacobian, 2), function
    moved = step_curve(*other, *entry, check=found, names=names)
    assert moved.changed == ("the gradient",)


ZERO = "Both gradients of `∂g/∂b` are zero: there was nothing to compare."
NOTES = [
    pytest.param({("f", "a"): A, ("f", "b"): FB, ("g", "a"): 2 * a}, fg, "",
                 ["`∂g/∂b` is not in `grads`, and so checked as zero.", ZERO],
                 id="what is not given is zero"),
    pytest.param({("f", "a"): A, ("f", "b"): FB}, fg,
                 "`grads['g', 'a']` is zero everywhere, but `∂g/∂a` is not: it was never "
                 "assigned, or the derivative leaves out a path. Look at where `grads['g', 'a']` "
                 "is computed.",
                 ["`∂g/∂a` and `∂g/∂b` are not in `grads`, and so checked as zero.", ZERO],
                 id="HARD: and wrong if it is not"),
    pytest.param(None, lambda p: (f(p), {"a": A, "b": FB}), "",
                 ["The Jacobian is the one that the function returns besides its outputs."],
                 id="returned besides the outputs"),
    pytest.param(None, lambda p: (f(p), {"a": A, "b": 2 * FB}),
                 "`grads['b']` is 2.000 times the numerical gradient, in all 12 entries, to 5 "
                 "digits. A factor of 2: was the ½ before a square forgotten, or a term added "
                 "twice? Look at where `grads['b']` is computed.",
                 ["The Jacobian is the one that the function returns besides its outputs."],
                 id="the same, wrong"),
]  # fmt: skip


@pytest.mark.parametrize(("jacobian", "function", "sentence", "notes"), NOTES)
def test_notes(jacobian, function, sentence, notes):
    found = check_gradients(AB, jacobian, function)
    assert found.verdict is (Verdict.BUG if sentence else Verdict.CORRECT)
    assert [each.sentence for each in found.diagnoses] == [sentence] * bool(sentence)
    assert list(found.notes) == notes


def of_two_shapes(x):
    return r(x) if np.array_equal(x, [2.0, 1.0, 0.3]) else r(x)[1:]


ERRORS = [
    pytest.param(x, J.T, r,
                 "`grads` has shape (3, 20), but `r` has shape (20,) and `x` has shape (3,): it is "
                 "transposed; pass `grads.T`.", id="transposed"),
    pytest.param(x, None, lambda x: (r(x), jac(x).T),
                 "`grads` has shape (3, 20), but `f` has shape (20,) and `x` has shape (3,): it is "
                 "transposed; pass `grads.T`.", id="returned transposed"),
    pytest.param(M, np.moveaxis(JM, (0, 1), (2, 3)), product,
                 "`grads` has shape (2, 3, 2, 4), but `product` has shape (2, 4) and `M` has shape "
                 "(2, 3): the axes of the output come first.", id="transposed, with more axes"),
    pytest.param(x, J[:, :2], r,
                 "`grads` has shape (20, 2), but `r` has shape (20,) and `x` has shape (3,): a "
                 "Jacobian must have shape (20, 3), a row for each output.", id="another shape"),
    pytest.param(AB, np.ones((4, 4)), f,
                 "`grads` has shape (4, 4), but `f` has shape (4,) and the parameters have 5 "
                 "entries: a Jacobian must have shape (4, 5), a row for each output.",
                 id="another shape of several"),
    pytest.param(AB, {"a": A}, f,
                 "`grads` has no gradient for `b`: expected `db`, found `a`. If `b` needs none, "
                 "check the others with --only a (in Python, only=['a']).",
                 id="an input is missing"),
    pytest.param(AB, {"f": {"a": A, "b": FB}}, fg,
                 "`grads` has no Jacobian of the output `g`: give one for each of `f` and `g`.",
                 id="an output is missing"),
    pytest.param(AB, {("f", "c"): A}, fg,
                 "`grads` has ('f', 'c'), but `fg` has no such output and input (did you mean "
                 "`('f', 'b')`?): expected `('f', 'a')`, `('f', 'b')`, `('g', 'a')` and "
                 "`('g', 'b')`.", id="no such pair"),
    pytest.param(AB, {("f", "a"): None}, fg,
                 "`grads['f', 'a']` is None: is a `return` missing in what computes it?",
                 id="None"),
    pytest.param(x, J, lambda x: np.where(t == 0, np.nan, r(x)),
                 "`f[0]` is nan at the given parameters: the Jacobian can only be checked where "
                 "every output is finite.", id="an output is nan"),
    pytest.param(x, J.sum(axis=0), r,
                 "`r` returned an array of shape (20,): expected one number. If it is a layer's "
                 "output, pass dJ/d(output) with --upstream (upstream=...); to check its Jacobian, "
                 "give that as the gradient.", id="a gradient of many numbers"),
    pytest.param(x, None, r,
                 "`grads` is None: is a `return` missing in the function that computes it?",
                 id="no Jacobian"),
    pytest.param(x, J, lambda x: (x @ x, {"z": x}),
                 "`grads` has shape (20, 3), but `x` has shape (3,): a gradient must have its "
                 "parameter's shape.", id="HARD: (cost, cache) is no output"),
    pytest.param(x, J, lambda x: [],
                 "`f` returned no numbers: there is no Jacobian to check.", id="HARD: no output"),
    pytest.param(x, J, of_two_shapes,
                 "`of_two_shapes` returned (20,) at first, and then (19,): its outputs must keep "
                 "their shapes.", id="HARD: an output changes its shape"),
    pytest.param(x, J, lambda x: 0 * x[0] + y,
                 "`cost_function` is 6.06693 for all values of the parameters, but the gradient is "
                 "not zero: it ignores its argument, and may read the notebook's variables "
                 "instead.",
                 id="constant"),
]  # fmt: skip


@pytest.mark.parametrize(("params", "jacobian", "function", "message"), ERRORS)
def test_errors(params, jacobian, function, message):
    with pytest.raises(InputError) as raised:
        check_gradients(params, jacobian, function, names={**NAMES, "r": r, "fg": fg})
    assert str(raised.value) == message


def test_random():
    """HARD: what is evaluated once for all rows may be random all the same."""
    with pytest.raises(InputError, match=r"^`cost_function` returned .* it is random\. Make it"):
        check_gradients(x, J, lambda x: r(x) + rng.random(20))


def test_an_error_of_the_function():
    def broken(x):
        raise ValueError("my own")

    with pytest.raises(ValueError, match=r"^my own$"):
        check_gradients(x, J, broken)


@pytest.mark.parametrize("factor", [1.0, 2.0])
@pytest.mark.parametrize(("m", "n"), [(20, 3), (300, 10)])
def test_as_few_evaluations_as_a_gradient(m, n, factor):
    """However many rows there are, the function is evaluated as for one of them."""
    K, v = rng.normal(size=(m, n)) / n, rng.normal(size=n)
    calls = []

    def tanh(v):
        calls.append(1)
        return np.tanh(K @ v)

    jacobian = (1 - np.tanh(K @ v) ** 2)[:, None] * K
    found = check_gradients(v, factor * jacobian, tanh)
    assert found.passed is (factor == 1)
    assert found.n_evaluations == len(calls)
    one = check_gradients(v, factor * jacobian.sum(axis=0), lambda v: tanh(v).sum())
    assert len(calls) - found.n_evaluations == one.n_evaluations
    assert found.n_evaluations <= one.n_evaluations + 1 + (factor != 1) * 6 * n


def test_neither_scan_nor_workers():
    """Both are accepted, and change nothing but a note."""
    found = check_gradients(x, J, r, mode="scan", workers=2)
    assert found.passed
    assert found.n_evaluations == check_gradients(x, J, r).n_evaluations
    assert found.mode == "full"
    assert found.notes == ("There is no scan of a Jacobian: every entry was measured.",)


@pytest.mark.parametrize("scale", [1.0, 1.1])
def test_random_states(scale):
    """The Jacobian of a random function is that with the same random numbers."""

    def noisy(x):
        return np.random.random(20) * r(x)

    def jacobian(x):
        return np.random.random(20)[:, None] * jac(x) * scale

    found = check_gradients(x, jacobian, noisy, reseed=True)
    assert found.verdict is (Verdict.CORRECT if scale == 1 else Verdict.BUG)


def test_other_points():
    assert check_gradients(x, jac, r, points=2).passed
    only_here = check_gradients(x, lambda v: jac(v) * (1 + (v[0] != 2.0)), r, points=2)
    assert (only_here.verdict, only_here.point) == (Verdict.BUG, 1)


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_outputs_of_any_size(factor):
    """HARD: noise and size of an output do not hide the error of one that is 1e15 times smaller."""
    sizes = np.array([1e9, 1e-6])
    jacobian = np.outer(sizes * [1.0, factor], 2 * x)
    found = check_gradients(x, jacobian, lambda x: sizes * (x @ x), names={"x": x})
    wrong = [("∂f/∂x", (1, k)) for k in range(3)] if factor != 1 else []
    assert sorted(found.wrong_entries) == wrong
    assert found.passed is (factor == 1)


@pytest.mark.parametrize(("seconds", "measured"), [(10, 0), (28, 2)])
def test_the_time_is_up(clock, seconds, measured):
    found = check_gradients(x, J, clock.slow(r, 1.0), budget=seconds)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reasons == (f"The budget was used up: {measured} of 60 entries were measured.",)


@pytest.mark.parametrize("reads", ["its argument", "the notebook's"])
def test_interrupted(reads):
    """HARD: θ is put back, and what was measured by then is told."""
    v, calls = x.copy(), []

    def slow(*args):
        calls.append(1)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return np.sin(5 * (args[0] if reads == "its argument" else v))

    def closure():
        return slow()

    function = slow if reads == "its argument" else closure
    with pytest.raises(GradientCheckInterrupted) as raised:
        check_gradients(v, 3 * np.diag(5 * np.cos(5 * v)), function, names={"v": v})
    check = raised.value.check
    assert check.interrupted
    assert check.is_jacobian
    assert np.array_equal(v, x)


def test_in_a_notebook(shell):
    set_up = """
import numpy as np
t = np.linspace(0, 3, 20)
y = 2.5 * np.exp(-1.3 * t) + 0.5
x = np.array([2.0, 1.0, 0.3])
def residuals(x): return x[0] * np.exp(-x[1] * t) + x[2] - y
def jac(x, t): return np.stack([e := np.exp(-x[1] * t), -x[0] * t * e, np.ones_like(t)], axis=1)
J = jac(x, t)
"""
    shell.run_cell(set_up, store_history=True).raise_error()
    checks = {
        "%gradcheck -p x -g J -c residuals -o check": "∂residuals/∂x",
        "%gradcheck -p x -g jac -c residuals -o check": "∂residuals/∂x",
        "%%gradcheck -p x -g J -c r -o check\nr = residuals(x)\nJ = jac(x, t)": "∂r/∂x",
        "%%gradcheck -p x -g J -c r -o check\ne = np.exp(-x[1] * t)\nr = x[0] * e + x[2] - y\n"
        "J = np.stack([e, -x[0] * t * e, np.ones_like(t)], axis=1)": "∂r/∂x",
    }
    for cell, name in checks.items():
        shell.run_cell(cell, store_history=True).raise_error()
        assert shell.user_ns["check"].passed
        assert [each.name for each in shell.user_ns["check"].parameters] == [name]
        wrong = cell.replace("jac(x, t)", "-jac(x, t)").replace("x[0] * t * e", "x[1] * t * e")
        if wrong != cell:
            shell.run_cell(wrong, store_history=True).raise_error()
            assert shell.user_ns["check"].verdict is Verdict.BUG
    told = {
        "%gradcheck -p x -g J.T -c residuals": "`J.T` has shape (3, 20), but `residuals` has shape "
        "(20,) and `x` has shape (3,): it is transposed; pass `J`.",
        "%gradcheck -p x -g J -c y": "`y` is an array, and no statement is known that computes it "
        "from `x`: compute it in the cell of the check, or name a function with -c.",
    }
    for cell, message in told.items():
        assert str(shell.run_cell(cell, store_history=True).error_in_exec) == message


def test_openmdao():
    """`compute` and `compute_partials` of a component, with dicts in place of its vectors."""
    if importlib.util.find_spec("openmdao") is None:
        pytest.skip("openmdao is not installed")
    om = importlib.import_module("openmdao.api")

    class Parabola(om.ExplicitComponent):
        def setup(self):
            self.add_input("x", np.ones(3))
            self.add_input("k", 2.0)
            self.add_output("f", np.ones(3))
            self.add_output("g", 1.0)

        def setup_partials(self):
            self.declare_partials("f", "*")
            self.declare_partials("g", "x")

        def compute(self, inputs, outputs):
            outputs["f"] = inputs["k"] * inputs["x"] ** 2
            outputs["g"] = np.sum(inputs["x"])

        def compute_partials(self, inputs, partials):
            partials["f", "x"] = np.diag(2 * inputs["k"] * inputs["x"])
            partials["f", "k"] = inputs["x"] ** 2
            partials["g", "x"] = np.ones(3)

    component = Parabola()

    def compute(inputs):
        outputs = {}
        component.compute(inputs, outputs)
        return outputs

    def partials(inputs):
        found = {}
        component.compute_partials(inputs, found)
        return found

    inputs = {"x": np.array([1.0, 2.0, 3.0]), "k": np.array([2.0])}
    assert check_gradients(inputs, partials, compute).passed
    wrong = check_gradients(inputs, lambda v: {**partials(v), ("f", "k"): v["x"]}, compute)
    assert {name for name, _ in wrong.wrong_entries} == {"∂f/∂k"}


def test_scipy():
    """What `least_squares` is called with is checked as it is."""
    optimize = pytest.importorskip("scipy.optimize")
    fit = optimize.least_squares(r, x, jac)
    assert fit.success
    assert check_gradients(fit.x, fit.jac, r).passed
    assert check_gradients(fit.x, -fit.jac, r).diagnoses[0].cause is Cause.SIGN


def test_torch():
    torch = pytest.importorskip("torch")
    jacobian = torch.autograd.functional.jacobian
    u, v = torch.tensor(a), torch.tensor(b)

    def outputs(u, v):
        return torch.tensor(A) @ u + torch.tensor(B) @ v**2, (u * u).sum()

    found = jacobian(outputs, (u, v))
    names = {"u": u, "v": v}
    check = check_gradients((u, v), found, outputs, names=names)
    assert check.passed
    assert [each.shape for each in check.parameters] == [(4, 2), (4, 3), (2,), (3,)]
    wrong = check_gradients((u, v), (found[0], (3 * u, found[1][1])), outputs, names=names)
    assert {name for name, _ in wrong.wrong_entries} == {"∂outputs[1]/∂u"}


def test_jax():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        params = {"a": jax.numpy.array(a), "b": jax.numpy.array(b)}

        def outputs(p):
            return {"f": A @ p["a"] + B @ p["b"] ** 2, "g": p["a"] @ p["a"]}

        found = jax.jacrev(outputs)(params)
        assert check_gradients(params, found, outputs).passed
        found["g"]["a"] = found["g"]["a"] * 2
        wrong = check_gradients(params, found, outputs)
        assert {name for name, _ in wrong.wrong_entries} == {"∂g/∂a"}

"""Complex parameters, outputs and costs: real and imaginary part, and which convention it is."""

import numpy as np
import pytest

from gradcheck_magic import (
    Cause,
    InputError,
    Verdict,
    check_gradients,
    gradient_checking,
    step_curve,
)

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


z, A, y, up, V = normal(3, 4), normal(5, 3), normal(5, 4), normal(5, 4), rng.normal(size=(5, 3))


def cost(z):
    return np.sum(np.abs(A @ z - y) ** 2)


def gradient(z):
    """Return ∂J/∂x + i ∂J/∂y."""
    return 2 * A.conj().T @ (A @ z - y)


def of_both(V, z):
    """Return a real cost as people compute it: complex, with an imaginary part of zero."""
    residual = V @ z - y
    return np.vdot(residual, residual)


dz = gradient(z)
residual = V @ z - y
dV, dz_of_V = 2 * (residual @ z.conj().T).real, 2 * V.T @ residual
ONE = 3 + 4j
FLAT = np.concatenate([V.ravel(), z.ravel()])


def of_flat(theta):
    return of_both(theta[:15].reshape(5, 3).real, theta[15:].reshape(3, 4)).real


FORMS = [
    pytest.param(z, dz, cost, {}, id="an array"),
    pytest.param({"z": z}, {"dz": dz}, lambda p: cost(p["z"]), {}, id="a dict"),
    pytest.param(z, dz, lambda: cost(z), {}, id="HARD: read from the notebook"),
    pytest.param(z, gradient, cost, {"points": 3}, id="a function"),
    pytest.param(z, None, lambda z: (cost(z), gradient(z)), {}, id="returned by the cost"),
    pytest.param(z, dz.ravel(), cost, {}, id="a flat gradient"),
    pytest.param(z.ravel(), {"dz": dz}, lambda t: cost(t.reshape(3, 4)), {}, id="a flat z"),
    pytest.param([V, z], [dV, dz_of_V], of_both, {}, id="HARD: real and complex"),
    pytest.param([V, z], [dV, dz_of_V], of_flat, {}, id="HARD: one flat vector of both"),
    pytest.param([V, z], [dV + 0j, dz_of_V], of_both, {}, id="no imaginary part"),
    pytest.param([V, z], [dV, dz_of_V], of_both, {"only": ["params[1]"]}, id="one held fixed"),
    pytest.param(np.asfortranarray(z), dz, cost, {}, id="HARD: by columns"),
    pytest.param(z[::-1, ::2], gradient(z)[::-1, ::2], lambda: cost(z), {}, id="HARD: a part"),
    pytest.param(z.astype(">c16"), dz, cost, {}, id="HARD: other bytes"),
    pytest.param(z.astype(np.complex64), dz, cost, {}, id="single precision"),
    pytest.param(z, dz, cost, {"mode": "scan"}, id="a scan"),
    pytest.param(z, dz, cost, {"workers": 2}, id="workers"),
    pytest.param(ONE, 2 * ONE, lambda z: abs(z) ** 2, {}, id="a number"),
    pytest.param(np.complex128(ONE), 2 * ONE, lambda z: abs(z) ** 2, {}, id="a number of NumPy"),
    pytest.param([ONE, 2.0], [2 * ONE, 4.0], lambda z, x: abs(z) ** 2 + x**2, {}, id="numbers"),
    pytest.param(z, A.conj().T @ up, lambda z: A @ z, {"upstream": up}, id="a complex output"),
    pytest.param(z, A.conj().T @ up.real, lambda z: A @ z, {"upstream": up.real},
                 id="HARD: a real upstream"),
    pytest.param(z, 1j * A.conj().T @ up.real, lambda z: (A @ z).imag, {"upstream": up.real},
                 id="HARD: a real output"),
    pytest.param(V, (up @ z.conj().T).real, lambda V: V @ z, {"upstream": up},
                 id="a complex output of a real parameter"),
    pytest.param(z, A.conj().T @ up + 2 * z, lambda z: (A @ z, np.sum(np.abs(z) ** 2)),
                 {"upstream": (up, np.array(1.0))}, id="several outputs"),
    pytest.param(z, z / np.abs(z), lambda z: np.abs(z).sum(), {}, id="absolute values"),
    pytest.param(z, 1j * z / np.abs(z) ** 2, lambda z: np.angle(z).sum(), {}, id="angles"),
    pytest.param(z, 8 * z, lambda z: np.sum(np.abs(np.fft.fft(z)) ** 2), {}, id="a transform"),
    pytest.param(V, 6 * V, lambda V: np.sum(np.abs(np.fft.fft(V)) ** 2), {}, id="of real numbers"),
]  # fmt: skip


def changed(grads, change):
    """Change all gradients, wherever they are."""
    if callable(grads):
        return lambda *args: change(grads(*args))
    if isinstance(grads, dict):
        return {name: change(grad) for name, grad in grads.items()}
    return [change(grad) for grad in grads] if isinstance(grads, list) else change(grads)


@pytest.mark.parametrize(("params", "grads", "function", "options"), FORMS)
def test_forms(params, grads, function, options):
    check = check_gradients(params, grads, function, **options)
    assert check.verdict is Verdict.CORRECT, str(check)


@pytest.mark.parametrize(
    ("params", "grads", "function", "options"), [f for f in FORMS if f.values[1] is not None]
)
def test_wrong_forms(params, grads, function, options):
    check = check_gradients(params, changed(grads, lambda g: 2 * g), function, **options)
    assert check.verdict is Verdict.BUG, str(check)
    assert {diagnosis.cause for diagnosis in check.diagnoses} == {Cause.SCALE}


def test_parts_have_names():
    """The real and the imaginary part have a verdict each."""
    wrong = dz.copy()
    wrong[1, 2] -= 2j
    check = check_gradients({"z": z}, {"dz": wrong}, lambda p: cost(p["z"]))
    assert [(p.name, p.shape, p.verdict) for p in check.parameters] == [
        ("z.real", (3, 4), Verdict.CORRECT),
        ("z.imag", (3, 4), Verdict.BUG),
    ]
    assert check.wrong_entries == (("z.imag", (1, 2)),)
    assert check.parameters[1].worst.label == "z.imag[1, 2]"
    curve = step_curve({"z": z}, {"dz": wrong}, lambda p: cost(p["z"]), "z.imag[1, 2]", check=check)
    assert curve.analytic == wrong[1, 2].imag


def test_the_textbook_takes_them():
    assert gradient_checking(z, dz, cost) < 1e-7
    assert gradient_checking(z, dz.conj(), cost) > 1e-3


@pytest.mark.parametrize("function", [cost, lambda: cost(z)])
def test_nothing_is_left(function):
    before = z.tobytes()
    check_gradients(z, dz, function)
    assert z.tobytes() == before


# What is wrong

LEAVES_OUT = "look for a conjugate that the backward pass leaves out."
BUGS = [
    pytest.param(
        np.conj, Cause.CONJUGATE, {},
        "`dz` is the complex conjugate of the gradient, in all 12 entries, to 5 digits: "
        "∂J/∂x − i ∂J/∂y, for z = x + iy. The check expects ∂J/∂x + i ∂J/∂y, the steepest ascent: "
        f"take dz.conj(), or {LEAVES_OUT}",
        id="the conjugate",
    ),
    pytest.param(
        lambda g: g.conj() / 2, Cause.CONJUGATE, {"factor": 0.5},
        "`dz` is half of the complex conjugate of the gradient, in all 12 entries, to 5 digits: "
        "Wirtinger's ∂J/∂z = ½ (∂J/∂x − i ∂J/∂y), for z = x + iy. The check expects "
        f"∂J/∂x + i ∂J/∂y, the steepest ascent: take 2 * dz.conj(), or {LEAVES_OUT}",
        id="Wirtinger's",
    ),
    pytest.param(
        lambda g: 1.25 * g.conj(), Cause.CONJUGATE, {"factor": pytest.approx(1.25)},
        "`dz` is 1.250 times the complex conjugate of the gradient, in all 12 entries, to 5 "
        "digits: 1.250 times (∂J/∂x − i ∂J/∂y), for z = x + iy. The check expects ∂J/∂x + i ∂J/∂y, "
        f"the steepest ascent: {LEAVES_OUT}",
        id="HARD: a multiple of it",
    ),
    pytest.param(
        lambda g: g / 2, Cause.SCALE, {"factor": 0.5},
        "`dz` is 0.5000 times the numerical gradient, in all 24 entries, to 5 digits. A factor of "
        "½: was the 2 from the derivative of a square forgotten, or is it Wirtinger's ∂J/∂z*, half "
        "of ∂J/∂x + i ∂J/∂y? Look at where `dz` is computed.",
        id="Wirtinger's other",
    ),
    pytest.param(
        np.negative, Cause.SIGN, {"factor": -1.0},
        "`dz` is −1 times the numerical gradient, in all 24 entries, to 5 digits: the sign is "
        "reversed. Look at where `dz` is computed.",
        id="the opposite sign",
    ),
    pytest.param(
        np.real, Cause.ZERO, {},
        "`dz.imag` is zero everywhere, but the cost changes with `z.imag`: it was never assigned, "
        "or the backward pass leaves out a path. Look at where `dz.imag` is computed.",
        id="HARD: the real part alone",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "cause", "details", "sentence"), BUGS)
def test_bugs(change, cause, details, sentence):
    check = check_gradients({"z": z}, {"dz": change(dz)}, lambda p: cost(p["z"]))
    assert check.verdict is Verdict.BUG
    (diagnosis,) = check.diagnoses
    assert (diagnosis.cause, diagnosis.sentence) == (cause, sentence)
    assert details.items() <= diagnosis.details.items()


def test_no_conjugate_without_an_imaginary_part():
    """On the real axis, minus the gradient is no conjugate of it."""
    at = np.array([1.0, 2.0]) + 0j
    check = check_gradients(at, -2 * at, lambda z: np.sum(np.abs(z) ** 2))
    assert [d.cause for d in check.diagnoses] == [Cause.SIGN]


def test_several_parameters_share_the_conjugate():
    """One of two complex parameters has the other convention; then both have."""
    params, grads = {"z": z, "w": y}, {"dz": dz, "dw": -2 * (A @ z - y)}

    def function(p):
        return np.sum(np.abs(A @ p["z"] - p["w"]) ** 2)

    one = check_gradients(params, {**grads, "dw": grads["dw"].conj()}, function)
    both = check_gradients(params, changed(grads, np.conj), function)
    assert [(d.cause, d.names) for d in one.diagnoses] == [(Cause.CONJUGATE, ("w.imag",))]
    assert [(d.cause, d.names) for d in both.diagnoses] == [(Cause.CONJUGATE, ("z.imag", "w.imag"))]
    assert both.diagnoses[0].sentence.startswith("`dz` and `dw` are the complex conjugate")


# What is said

NOTES = [
    pytest.param([V, z], [dV, dz_of_V], of_both,
                 "`of_both` returns a complex number: its real part was used."),
    pytest.param(z, dz.real, cost, "`grads` is real: its imaginary part was taken as zero."),
]  # fmt: skip


@pytest.mark.parametrize(("params", "grads", "function", "note"), NOTES)
def test_notes(params, grads, function, note):
    assert note in check_gradients(params, grads, function).notes


IS_COMPLEX = (
    "expected a real cost, such as its real part or np.abs(...)**2. If it is an output, pass "
    "dJ/d(output) with --upstream (upstream=...)."
)
ERRORS = [
    pytest.param(z, dz, lambda z: (1 + 1j) * cost(z), {},
                 f"`cost_function` returned the complex number {cost(z) * (1 + 1j):.6g}: "
                 f"{IS_COMPLEX}", id="a complex cost"),
    pytest.param(1 + 0j, 2 + 0j, lambda z: z * z, {},
                 f"`cost_function` returned the complex number 1+2e-07j: {IS_COMPLEX}",
                 id="HARD: real only at z"),
    pytest.param(V, dV + 1j, lambda V: of_both(V, z), {},
                 "`grads` is complex, but `params` is real, and so is its gradient: take the real "
                 "part, grads.real, if that is all that is wrong.", id="of a real parameter"),
    pytest.param(V, dV, lambda V: 2 * V, {"upstream": V + 1j},
                 "`upstream` is complex, but `cost_function` returned an array that is real: "
                 "dJ/d(output) must be real, too.", id="upstream of a real output"),
    pytest.param({"z": z}, {"z": dz}, lambda p: cost(p["z"]), {"only": ["x"]},
                 "`only` names `x`, which is not a parameter: choose from `z`.", id="another name"),
    pytest.param(z[0], np.ones((5, 4)), lambda z: (A[:, :1] * z).real, {},
                 "`params` is complex, and a Jacobian is checked only by real parameters: pass the "
                 "real and the imaginary part as two.", id="a Jacobian by complex parameters"),
    pytest.param(V[0], A, lambda v: A @ v, {},
                 "`f` is complex, and a Jacobian is checked only of real outputs: return the real "
                 "and the imaginary part as two, or pass dJ/d(output) with --upstream "
                 "(upstream=...).", id="a Jacobian of complex outputs"),
    pytest.param(V[0], A, lambda v: A.real @ v, {},
                 "`grads` is complex, but outputs and parameters are real: take grads.real, if "
                 "that is all that is wrong.", id="HARD: a complex Jacobian"),
    pytest.param(z, dz.T, cost, {},
                 "`grads` has shape (4, 3), but `params` has shape (3, 4): is it transposed?",
                 id="transposed"),
]  # fmt: skip


@pytest.mark.parametrize(("params", "grads", "function", "options", "message"), ERRORS)
def test_errors(params, grads, function, options, message):
    with pytest.raises(InputError) as caught:
        check_gradients(params, grads, function, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["z", "z.real", "z.imag"])
def test_only(name):
    """The name of a part, as the report has it, selects both."""
    check = check_gradients(
        {"z": z, "w": y}, {"z": dz}, lambda p: cost(p["z"]) + p["w"].real.sum(), only=[name]
    )
    assert [p.name for p in check.parameters] == ["z.real", "z.imag"]


def test_read_only():
    fixed = z.copy()
    fixed.flags.writeable = False
    with pytest.raises(InputError, match=r"`cost_function` reads `params` \(read-only\) from the"):
        check_gradients(fixed, dz, lambda: cost(fixed))

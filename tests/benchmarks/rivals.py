"""Other gradient checkers, each given the same cost and the same claimed gradient.

Every rival is used as its own documentation says, with its defaults, and with its own way of
declaring a gradient by hand. Each is imported when it is first used, so one rival is enough for a
comparison.
"""

import importlib
import itertools
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata, util
from typing import NamedTuple

import numpy as np

__all__ = ["RIVALS", "Counted", "Found", "Outcome", "available", "flat", "judged", "unflattened"]

# The precisions that the rivals know; other arrays are given to them as float64.
KNOWN = (np.float16, np.float32, np.float64)
# SciPy and numdifftools do not judge what they measure; this is the usual tolerance.
USUAL_TOLERANCE = 1e-5
# JAX compiles for each new cost and keeps the result; the memory for this many is acceptable.
JAX_CASES_KEPT = 100
# The length of a rival's remark, in characters.
LONGEST_REMARK = 300


class Counted:
    """A cost that counts its evaluations; it takes a dict of arrays, as the cost does.

    This check puts back whatever the cost changes, and so a number that it counts. An iterator
    cannot be put back.
    """

    def __init__(self, cost):
        self._cost = cost
        self._calls = itertools.count()

    def __call__(self, params):
        next(self._calls)
        return self._cost(params)

    def counted(self):
        """End counting, and return the number of evaluations."""
        return next(self._calls)


class Found(NamedTuple):
    """A checker's verdict, in the words of `Verdict`, and its remark."""

    verdict: str
    remark: str = ""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one case with one checker.

    Attributes
    ----------
    verdict : str
        "CORRECT", "BUG", "INSPECT", "INCONCLUSIVE", or "ERROR: " and the error.
    remark : str
        Anything else that the checker said.
    evaluations : int
        The number of its calls of the cost.
    seconds : float
        The seconds that it took.
    """

    verdict: str
    remark: str
    evaluations: int
    seconds: float

    @property
    def crashed(self):
        """Whether the checker gave no verdict at all."""
        return self.verdict.startswith("ERROR")


def judged(checker, case):
    """Return the `Outcome` of one case.

    Parameters
    ----------
    checker : callable
        A function of the case and its counted cost that returns `Found`.
    case : Case
        The case.
    """
    cost = Counted(case.cost)
    started = time.perf_counter()
    # In the corpus, costs overflow and precisions are too low on purpose: the warnings say nothing
    # more.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found = checker(case, cost)
        except Exception as error:  # noqa: BLE001 (a crash of any kind is a result)
            found = Found(f"ERROR: {type(error).__name__}: {_in_one_line(error)}")
    seconds = time.perf_counter() - started
    return Outcome(*found, cost.counted(), seconds)


def flat(arrays):
    """Return all arrays of a dict as one vector."""
    return np.concatenate([np.ravel(array) for array in arrays.values()])


def unflattened(vector, params):
    """Return the dict again, in the precision of the vector, as code with a flat θ gets it."""
    ends = np.cumsum([np.size(array) for array in params.values()])[:-1]
    parts = np.split(vector, ends)
    return {
        name: part.reshape(np.shape(array))
        for (name, array), part in zip(params.items(), parts, strict=True)
    }


def _arrays(case):
    """Return copies of the parameters and of their gradients, in precisions that the rivals know.

    Each gradient is in the precision of its parameter, as all rivals require. They would refuse or
    convert any other for its type alone, and that would say nothing about the gradient.
    """
    params = [np.array(array, dtype=_known(array)) for array in case.params.values()]
    grads = [
        np.array(case.grads[name], dtype=array.dtype)
        for name, array in zip(case.params, params, strict=True)
    ]
    return params, grads


def _known(array):
    dtype = np.asarray(array).dtype
    return dtype if dtype in KNOWN else np.dtype(np.float64)


def _in_one_line(error):
    return " ".join(str(error).split())[:LONGEST_REMARK]


def _by_assertion(check):
    """Run a check that reports a bug as an AssertionError."""
    try:
        check()
    except AssertionError as error:
        return Found("BUG", _in_one_line(error))
    return Found("CORRECT")


def by_torch(case, cost, *, fast_mode=False):
    """Call `torch.autograd.gradcheck` on an `autograd.Function`."""
    torch = importlib.import_module("torch")
    params, grads = ([torch.from_numpy(array) for array in arrays] for arrays in _arrays(case))
    precision = max((tensor.dtype for tensor in params), key=lambda dtype: dtype.itemsize)

    class Claimed(torch.autograd.Function):
        @staticmethod
        def forward(_context, *tensors):
            value = cost(dict(zip(case.params, (t.numpy() for t in tensors), strict=True)))
            # fast_mode reports a bug only if the result is in the precision of its inputs.
            return torch.tensor(float(value), dtype=precision)

        @staticmethod
        def backward(_context, upstream):
            return tuple(upstream * grad for grad in grads)

    inputs = tuple(tensor.requires_grad_() for tensor in params)
    # Without exceptions, gradcheck returns False instead of raising its GradcheckError, and still
    # raises anything else.
    content = torch.autograd.gradcheck(
        Claimed.apply, inputs, fast_mode=fast_mode, raise_exception=False
    )
    return Found("CORRECT" if content else "BUG")


def by_jax(case, cost):
    """Call `jax.test_util.check_grads`, first order in reverse mode, on a `custom_vjp`."""
    jax = _jax()
    params, grads = _arrays(case)

    def on_host(*arrays):
        # JAX passes its own arrays, which are read-only. In double precision, the result is exactly
        # the number that the cost returned, whatever the precision of the arrays.
        return np.float64(cost(dict(zip(case.params, map(np.array, arrays), strict=True))))

    @jax.custom_vjp
    def claimed(*arrays):
        return jax.pure_callback(on_host, jax.ShapeDtypeStruct((), np.float64), *arrays)

    def forward(*arrays):
        return claimed(*arrays), None

    def backward(_residuals, upstream):
        return tuple((upstream * grad).astype(grad.dtype) for grad in grads)

    claimed.defvjp(forward, backward)
    check_grads = importlib.import_module("jax.test_util").check_grads
    return _by_assertion(lambda: check_grads(claimed, params, order=1, modes=["rev"]))


_jax_cases = 0


def _jax():
    """Return JAX in double precision, and clear its caches now and then."""
    global _jax_cases  # noqa: PLW0603 (the caches are the process's too)
    jax = importlib.import_module("jax")
    if not _jax_cases:
        jax.config.update("jax_enable_x64", True)
        # A callback that waits for an array while JAX waits for the callback never ends.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        # An error of the cost is in the outcome; JAX would log its traceback as well.
        logging.getLogger("jax._src.callback").setLevel(logging.CRITICAL)
    elif _jax_cases % JAX_CASES_KEPT == 0:
        jax.clear_caches()
    _jax_cases += 1
    return jax


def by_autograd(case, cost):
    """Call `autograd.test_util.check_grads`, first order in reverse mode, on a `primitive`."""
    extend = importlib.import_module("autograd.extend")
    check_grads = importlib.import_module("autograd.test_util").check_grads
    params, grads = _arrays(case)

    @extend.primitive
    def claimed(*arrays):
        return float(cost(dict(zip(case.params, arrays, strict=True))))

    def vjp_maker(grad):
        return lambda _answer, *_arrays: lambda upstream: np.asarray(upstream * grad, grad.dtype)

    extend.defvjp(claimed, *map(vjp_maker, grads))
    # The direction is drawn from NumPy's global state; this makes it independent of earlier cases.
    np.random.seed(0)
    check = check_grads(claimed, argnum=tuple(range(len(params))), modes=["rev"], order=1)
    return _by_assertion(lambda: check(*params))


def by_scipy(case, cost):
    """Call `scipy.optimize.check_grad` on the flat vector, relative to the gradient's norm.

    SciPy computes in double precision, whatever it is given.
    """
    check_grad = importlib.import_module("scipy.optimize").check_grad
    grads = flat(case.grads)
    error = check_grad(
        lambda theta: float(cost(unflattened(theta, case.params))),
        lambda _theta: grads,
        flat(case.params),
    )
    return _by_norm(error, grads)


def by_numdifftools(case, cost):
    """Call `numdifftools.Gradient`, which extrapolates from many steps, on the flat vector."""
    gradient = importlib.import_module("numdifftools").Gradient(
        lambda theta: float(cost(unflattened(theta, case.params)))
    )
    grads = flat(case.grads)
    return _by_norm(float(np.linalg.norm(gradient(flat(case.params)) - grads)), grads)


def _by_norm(error, grads):
    """Judge the norm of an error as is usual, relative to the gradient's."""
    bound = USUAL_TOLERANCE * max(1.0, float(np.linalg.norm(grads)))
    return Found("CORRECT" if error < bound else "BUG", f"error {error:.3g}, bound {bound:.3g}")


def by_derivcheck(case, cost):
    """Call `derivcheck.assert_deriv` on the flat vector; it says if an estimate is inaccurate."""
    assert_deriv = importlib.import_module("derivcheck").assert_deriv
    # It adds its steps to the vector in place, which must be able to hold them.
    theta, grads = flat(case.params).astype(float), flat(case.grads)
    try:
        return _by_assertion(
            lambda: assert_deriv(
                lambda theta: float(cost(unflattened(theta, case.params))),
                lambda _theta: grads,
                theta,
            )
        )
    except FloatingPointError as error:
        return Found("INCONCLUSIVE", _in_one_line(error))


# Each rival by its name, with the distribution that contains it.
RIVALS: dict[str, tuple[str, Callable]] = {
    "torch gradcheck": ("torch", by_torch),
    "torch fast_mode": ("torch", partial(by_torch, fast_mode=True)),
    "jax check_grads": ("jax", by_jax),
    "autograd check_grads": ("autograd", by_autograd),
    "scipy check_grad": ("scipy", by_scipy),
    "numdifftools Gradient": ("numdifftools", by_numdifftools),
    "derivcheck assert_deriv": ("derivcheck", by_derivcheck),
}


def available():
    """Return the installed rivals by name, and their versions."""
    installed = {
        name: (package, rival)
        for name, (package, rival) in RIVALS.items()
        if util.find_spec(package)
    }
    versions = {package: metadata.version(package) for package, _ in installed.values()}
    return {name: rival for name, (_, rival) in installed.items()}, versions

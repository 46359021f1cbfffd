"""Check, over the wrong gradients of the corpus, that the diagnosis names the planted cause.

    python -m tests.benchmarks.diagnosis

**The rule.** A cause *can be told from its neighbours* if

0. the verdict is not "cannot tell", which the benchmark of the verdicts counts, and some entry is
   wrong by itself, not only all of them together;
1. differences can see it (`tests/corpus/seeable.py`) in at least two entries that are on no kink,
   each to a thousandth of its error. One entry is always some factor of another, and some multiple
   of its parameter, so that sign, factor and regularisation of a 1 × 1 parameter cannot be told
   apart. A number that has to be fitted (the strength of a regularisation, or a factor such as
   1.001 that is neither a whole number nor a part of one) takes three entries, so that two are left
   to confirm it. A penalty is a multiple of nothing that can be seen if a date was added to its
   parameter. A gradient that is zero can be told from one entry, as can one entry among others.
   A parameter whose gradient is at most 1e-12 of the largest of all does not count: it may be what
   rounding leaves of the others, as in `seeable.py`;
2. for some entries, a row or a column: other entries of the parameter are correct, and not zero.
   If there are no others to be correct, a row is the whole parameter;
3. for a place inside the backward pass: at least two parameters are wrong, among them the one next
   to it. One alone may as well be wrong in its own line. No parameter before it is correct, or
   their order is no chain, and a list of parameters tells nothing else of the network. And for its
   very start: some gradient is not nearly right (a cosine similarity above 0.98 with the correct
   one, and its length). Those of other data, or of parameters that were updated since, are, too.

The first diagnosis that counts is that of a parameter in which the bug is planted, or of one that
is correct: others may be wrong because of it, in a way that has no name.

For each bug inside a backward pass, `PLANTED` says what it does to the gradient; that does not
depend on what the diagnosis makes of it. Bugs that have no entry there, or that cannot be told,
have no cause that must be named; naming a wrong one still counts as wrong.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from gradcheck_magic import Cause, Diagnosis, Verdict, check_gradients
from tests.benchmarks.harness import (
    Count,
    Goal,
    corpus_parser,
    parsed,
    progress,
    run_on_all_cores,
    say,
    show_goals,
    show_table,
)
from tests.corpus import FAMILIES, REGIMES
from tests.corpus.case import magnitude, rounding
from tests.corpus.generate import build, plans, solved
from tests.corpus.seeable import can_see, largest_deviations

# These causes only say where the gradient is wrong, so naming one is never wrong.
LOCAL = frozenset({Cause.UNKNOWN, Cause.ENTRIES, Cause.SLICE})
# The rule for verdicts sees a deviation to a tenth; this many times better is a thousandth.
SHARPER = 100.0
# A parameter whose gradient is this part of the largest counts as zero. All are nearly right if
# their cosine similarity with the correct ones exceeds NEARLY.
NOTHING, NEARLY = 1e-12, 0.98
MOST_LINES = 40
NAMED_SHARE, BOUNDARY_SHARE, WRONG_SHARE = 0.97, 0.95, 0.01


@dataclass(frozen=True)
class Planted:
    """The effect of a bug on the gradient.

    Attributes
    ----------
    causes : frozenset of Cause
        The causes that name it correctly.
    where : tuple of str
        The parameters in which it is planted; if empty, all that are wrong.
    factor : float, optional
        The factor, for SCALE.
    boundary : tuple of two sets of str, optional
        For UPSTREAM: the place is between one of the first and one of the second; "" is the cost.
    label : str
        Its name in the tables of the benchmark.
    """

    causes: frozenset[Cause]
    where: tuple[str, ...] = ()
    factor: float | None = None
    boundary: tuple[set[str], set[str]] | None = None
    label: str = ""

    def names(self, diagnosis: Diagnosis) -> bool:
        """Return whether a diagnosis names exactly this."""
        if diagnosis.cause not in self.causes:
            return False
        factor = diagnosis.details.get("factor")
        if self.factor is not None and not np.isclose(factor, self.factor, rtol=1e-2):
            return False
        if self.where and diagnosis.cause is not Cause.SWAPPED:
            return set(diagnosis.names) <= set(self.where)
        return diagnosis.cause is not Cause.UPSTREAM or self.is_placed(diagnosis)

    def is_placed(self, diagnosis: Diagnosis) -> bool:
        """Return whether a diagnosis names the right place."""
        if self.boundary is None:
            return True
        after, before = self.boundary
        details = diagnosis.details
        return details["after"] in after and details["before"] in before


def upstream(after, before, *others, label="UPSTREAM"):
    """Return a place between parameters, given as strings of names, and any other true causes."""
    causes = frozenset({Cause.UPSTREAM, *others})
    return Planted(causes, boundary=(set(after.split() or [""]), set(before.split())), label=label)


def start(*before):
    """Return the place before the last parameter: the derivative of the cost itself."""
    return upstream("", " ".join(before))


def simple(cause, *where, factor=None, also=()):
    """Return a cause that can be seen in the parameters themselves."""
    return Planted(frozenset({cause, *also}), where, factor, label=cause.name)


DENSE = {
    # A wrong activation often differs from the right one by a forgotten mask alone.
    "activation's derivative is another": upstream("W3", "W2", Cause.MASK),
    "activation's derivative of the wrong layer": upstream("W3", "W2", Cause.MASK),
    "activation's derivative forgotten": upstream("W3", "W2", Cause.MASK),
    "loss's derivative is another": start("W3"),
    "W2 not transposed on the way back": upstream("W2", "W1"),
    "biases averaged instead of summed": simple(Cause.SCALE, "b1", "b2", "b3"),
}
PLANTED = {
    "dense": DENSE,
    "convolution": {
        "activation's derivative is another": upstream("K2", "K1", Cause.MASK),
        # With the mean instead of the maximum, it is a factor of 2.
        "pooling hands its gradient to all": upstream("K2", "K1", Cause.SCALE),
        "kernel flipped on the way back": upstream("K2", "K1"),
        "gradient of the kernel flipped": simple(Cause.TRANSPOSED, "K1", "K2"),
    },
    "recurrence": {
        "path through time forgotten": upstream("V", "Wx Wh b"),
        "1 − h instead of 1 − h²": upstream("V", "Wx Wh b"),
        "Wh not transposed on the way back": upstream("V", "Wx Wh b"),
    },
    "lstm": {
        bug: upstream("V", "W b")
        for bug in (
            "path through the cell forgotten",
            "path through the hidden state forgotten",
            "forget gate sees the new cell",
            "candidate's derivative is the sigmoid's",
            "derivative of tanh(c) forgotten",
            "gates' derivatives are the gates",
        )
    },
    "attention": {
        "path through the keys forgotten": simple(Cause.ZERO, "Wk"),
        "root of the width forgotten": simple(Cause.SCALE, "Wq", "Wk"),
        "softmax backwards by its diagonal alone": upstream("Wv", "Wk"),
        "centre of the norm detached": upstream("gamma", "Wo"),
        "spread of the norm detached": upstream("gamma", "Wo"),
    },
    "batch norm": {
        "activation's derivative is another": upstream("W2", "gamma beta"),
        "centre of the norm detached": upstream("gamma", "W1"),
        "spread of the norm detached": upstream("gamma", "W1"),
        # Each column then lacks its own factor.
        "gamma forgotten on the way back": upstream("gamma", "W1", Cause.SCALE),
    },
    "residual": {
        "path around the block forgotten": upstream("W2", "V1"),
        "path through the block forgotten": upstream("W2", "V1"),
        "activation's derivative is another": upstream("V2", "W2", Cause.MASK),
        "V not transposed on the way back": upstream("V2", "W2"),
    },
    "embedding": {
        "mean over the words forgotten": simple(Cause.SCALE, "E"),
        "gradient in the wrong rows": simple(Cause.TRANSPOSED, "E", also=LOCAL),
    },
    "autoencoder": {"activation's derivative is another": upstream("c", "W b")},
    "factorisation": {
        "unknown entries counted": start("bv"),
        "own regularisation forgotten": simple(Cause.REGULARIZATION, "U", "V"),
        "own regularisation doubled": simple(Cause.REGULARIZATION, "U", "V"),
        "offsets of the rows forgotten in the residual": start("bv"),
    },
    "mixture": {"responsibilities forgotten": start("logits")},
    "flow": {
        "log-determinant of the coupling forgotten": upstream("V", "W b"),
        "scale's path to the density forgotten": upstream("V", "W b"),
        "1 − s instead of 1 − s²": upstream("V", "W b"),
    },
    "gaussian process": {
        "trace term forgotten": start("log_noise"),
        "only one of each pair moves an input": simple(Cause.SCALE, "inputs", factor=0.5),
        "square of the length forgotten": simple(Cause.SCALE, "inputs"),
        "logarithm forgotten in the lengths": simple(Cause.SCALE, "log_length"),
    },
    "linear": {
        "loss's derivative is another": start("W b"),
        "exposure forgotten": start("W b"),
        "penalty forgotten": simple(Cause.REGULARIZATION, "W"),
        "penalty of the bias as well": simple(Cause.REGULARIZATION, "b"),
    },
    "springs": {
        "logarithm forgotten in the stiffness": simple(Cause.SCALE, "log_stiffness"),
    },
    "lennard-jones cluster": {
        "repulsion's exponent halved": start("log_size"),
        "attraction forgotten": start("log_size"),
    },
    # Of the parameters in units of physics, and the losses near their limits, many share a factor
    # or the derivative of the cost.
    "binding constants": {
        "unit of the concentration forgotten": simple(Cause.SCALE, "K"),
        "exponent forgotten": simple(Cause.SCALE, "K"),
    },
    "peaks": {
        "sign of the shift": simple(Cause.SIGN, "centres"),
        "slope of another shape": upstream("heights", "widths log_widths"),
        "width's path forgotten": simple(Cause.ZERO, "widths", "log_widths"),
    },
    "diffraction": {
        "wavenumber forgotten": simple(Cause.SCALE, "positions"),
        "half of the intensity's slope": simple(Cause.SCALE, factor=0.5),
    },
    "energy levels": {
        "temperature not squared": simple(Cause.SCALE, "temperature"),
        "normalisation forgotten": start("temperature"),
        "sign of the temperature": simple(Cause.SIGN, "temperature"),
    },
    "reaction rates": {
        "gas constant forgotten": simple(Cause.SCALE, "energy"),
        "sign of the energy": simple(Cause.SIGN, "energy"),
        "decay's slope forgotten": start("log_rate"),
    },
    "resonant circuits": {
        "gain's power wrong": start("R"),
        # The real part of the impedance is a function of L C, and not of R.
        "frequency not squared": upstream("R", "C L"),
    },
    "xor network": {
        "rectifier's derivative forgotten": upstream("W2", "W1", Cause.MASK),
        "W2 not transposed on the way back": upstream("W2", "W1"),
        "biases averaged instead of summed": simple(Cause.SCALE, "b1"),
    },
    "padded tokens": {
        "rectifier's derivative forgotten": upstream("V", "W b", Cause.MASK),
        "mean over the length forgotten": simple(Cause.SCALE, "E", "W", "b"),
    },
    "maxout of copies": {
        "gradient to all pieces": upstream("V", "W b", Cause.MASK),
        "gradient to another piece": upstream("V", "W b", Cause.MASK),
    },
    "spatial transformer": {
        "gradients of x and y exchanged": simple(Cause.TRANSPOSED, "theta", also=LOCAL),
        "gain forgotten on the way back": simple(Cause.SCALE, "theta"),
    },
    "group lasso": {
        # In groups of one, it is the sign of the parameter.
        "penalty forgotten": simple(Cause.REGULARIZATION, "W", also=LOCAL),
        "intercept's sign": simple(Cause.SIGN, "b"),
    },
    "margin of all classes": {
        # `temper` has a path of its own, and comes after the others.
        bug: upstream("temper", "b", *LOCAL)
        for bug in ("right class forgotten", "margin forgotten", "largest class forgotten")
    },
    "conjugate gradients": {
        "adjoint system not solved": start("c"),
        "sign of the adjoint": simple(Cause.SIGN, "log_diagonal"),
        "logarithm forgotten": simple(Cause.SCALE, "log_diagonal"),
    },
    "fixed point": {
        "last iteration only": start("b"),
        "W not transposed in the adjoint": start("b"),
        "input's bias forgotten": simple(Cause.ZERO, "b"),
    },
    "adaptive steps": {
        "rates of another equation": start("start"),
        "sign of a rate": simple(Cause.ENTRIES, "rates", also=(Cause.UNKNOWN,)),
    },
    "kepler's equation": {
        "implicit derivative forgotten": upstream("axis", "anomaly"),
        "its sign": simple(Cause.SIGN, "anomaly", also=(Cause.UPSTREAM, Cause.UNKNOWN)),
    },
    "bisection": {
        "cube's slope forgotten": start("c"),
        "logarithm forgotten": simple(Cause.SCALE, "log_slope"),
        "its sign": simple(Cause.SIGN, "log_slope"),
    },
    "sorted errors": {
        # Each weight goes to another error.
        "weights not put back in order": simple(Cause.TRANSPOSED, "w", also=LOCAL),
    },
    "power iteration": {
        # With a vector that hardly moves, what is forgotten is nearly equal to what is there.
        "one factor only": simple(Cause.SCALE, "L", also=(Cause.UNKNOWN,)),
        "vector's path forgotten": start("diagonal"),
        "other eigenvalues forgotten": start("diagonal"),
    },
    "sinkhorn": {
        "weights' potential forgotten": simple(Cause.ZERO, "logits"),
        "distance's slope by half": simple(Cause.SCALE, "points", factor=0.5),
    },
    "focal loss": {
        # With probabilities near 1, it is nearly a factor.
        bug: upstream("", "b", Cause.SCALE)
        for bug in (
            "path through the weight forgotten",
            "exponent not lowered",
            "sign of the class",
        )
    },
    "clipped probabilities": {
        # With probabilities near 1, the sign is nearly that of the whole gradient.
        "sign of the class": upstream("", "b", Cause.SIGN, Cause.SCALE),
        **{bug: start("b") for bug in ("clipping forgotten", "clipped at the other side only")},
    },
    "log of softmax": {
        "softmax backwards by its diagonal alone": start("b"),
        "mean forgotten": simple(Cause.SCALE),
        "epsilon taken for 1": start("b"),
    },
    "highway": {
        "gate's slope forgotten": upstream("Wo", "bt Wt"),
        "path around the layer forgotten": start("Wo"),
        "gate's gradient without the path around": upstream("Wo", "bt Wt"),
    },
    "one layer": {
        "activation's derivative is another": start("b"),
        "bias averaged instead of summed": simple(Cause.SCALE, "b"),
    },
}
# In these families, the parameters are in the order of the layers.
SEQUENTIAL = ("dense", "convolution", "batch norm", "residual")
PEAKS = ("spectral lines", "events in time")
LINEAR = ("poisson regression", "support vectors", "quantile regression", "lasso")
TWO_ENTRIES = {Cause.SIGN, Cause.SCALE, Cause.TRANSPOSED, Cause.SWAPPED}


def kind_of(family):
    """Return the key of a family in `PLANTED`."""
    if family.startswith("dense"):
        return "dense"
    if family in PEAKS:
        return "peaks"
    return "linear" if family in LINEAR else family


def planted(plan, case) -> Planted | None:
    """Return what a bug does to the gradient; None if no simple cause describes it."""
    bug = plan.bug
    if bug.name == "square of the length forgotten" and case.params["log_length"].size > 1:
        # Each column has its own factor.
        return None
    if bug.inside:
        what = PLANTED.get(kind_of(plan.family), {}).get(bug.name)
        is_other_unit = what and set(what.where) & set(solved(*plan[:3])[0].units)
        # The factors of a logarithm are then those in its own unit, which no notebook has.
        return None if is_other_unit and bug.name.startswith("logarithm") else what
    if bug.decay != 1:
        return _penalty(case, FAMILIES[plan.family].weights)
    return _slice(case, bug.where) if bug.kind.endswith("zero in") else _outside(bug, case)


def _outside(bug, case) -> Planted:
    """Return what a bug at the end of the backward pass does."""
    if bug.kind.startswith("one entry"):
        return simple(Cause.ENTRIES, bug.where, also=LOCAL - {Cause.UNKNOWN})
    where = [name for name in (bug.where, bug.other) if name] or list(case.params)
    cause, factor = {
        "opposite sign of": (Cause.SIGN, None),
        "twice": (Cause.SCALE, 2.0),
        "half of": (Cause.SCALE, 0.5),
        "1.001 times": (Cause.SCALE, 1.001),
        "by m": (Cause.SCALE, None),
        "mean": (Cause.SCALE, None),
        "nothing for": (Cause.ZERO, None),
        "transposed": (Cause.TRANSPOSED, None),
        "exchanged": (Cause.SWAPPED, None),
    }[bug.kind]
    return simple(cause, *where, factor=factor)


def _penalty(case, names):
    """Return the cause of a penalty that is forgotten or doubled.

    If it is all there is to the gradient, that is also 0 or 2 times the correct one.
    """
    grads = [np.ravel(values[name]) for values in (case.grads, case.upper) for name in names]
    given, true = np.split(np.concatenate(grads), 2)
    for cause, factor in ((Cause.ZERO, 0.0), (Cause.SCALE, 2.0)):
        if np.allclose(given, factor * true, rtol=1e-5, atol=0):
            return simple(Cause.REGULARIZATION, *names, also=(cause,))
    return simple(Cause.REGULARIZATION, *names)


def _slice(case, name):
    """Return the cause of a zero row or column, which may be the whole parameter or one entry."""
    right, wrong = case.upper[name] != 0, deviation(case, name) != 0
    if not np.any(right & ~wrong) or not case.grads[name].any():
        return simple(Cause.ZERO, name)
    few = wrong.sum() == 1 or sum(length > 1 for length in wrong.shape) == 1
    return simple(Cause.SLICE, name, also=(Cause.ENTRIES,) if few else ())


def deviation(case, name):
    """Return how far each entry is from the correct value; 0 if only by rounding."""
    grad = np.asarray(case.grads[name], dtype=float)
    off = grad - np.clip(grad, case.lower[name], case.upper[name])
    return np.where(np.abs(off) > rounding(case, name), off, 0.0)


def can_be_told(case, what: Planted) -> bool:
    """Return whether the rule of this module says so."""
    main = Cause[what.label]
    where = what.where or tuple(case.params)
    seen = [
        (name, index)
        for name, index, off in largest_deviations(case)
        if name in where
        and counts(case, name)
        and deviation(case, name)[index] != 0
        and case.lower[name][index] == case.upper[name][index]
        and can_see(case, name, index, off / SHARPER)
    ]
    if main is Cause.UPSTREAM:
        return len({name for name, _ in seen}) > 1 and _is_place_known(case, what)
    if main in {Cause.ENTRIES, Cause.SLICE}:
        (name,) = where
        right = (deviation(case, name) == 0) & (case.upper[name] != 0)
        return bool(seen) and bool(right.any())
    if main is Cause.REGULARIZATION and not _is_of_parameter(case, seen):
        return False
    if main is Cause.REGULARIZATION or (main is Cause.SCALE and _is_fitted(case, seen)):
        return len(seen) >= 3
    return len(seen) >= (2 if main in TWO_ENTRIES else 1)


def counts(case, name):
    """Return whether the gradient of a parameter is more than rounding beside the others."""
    sizes = {each: magnitude(case.lower[each], case.upper[each]) for each in case.params}
    return sizes[name] > NOTHING * max(sizes.values())


def _is_place_known(case, what):
    """Return whether the order of the parameters, and their gradients, tell the place."""
    if what.boundary is None:
        return True
    after, before = what.boundary
    names = list(case.params)
    nearest = max((names.index(name) for name in before if _is_seen(case, name)), default=-1)
    ahead = (name for name in names[: nearest + 1] if np.any(case.upper[name]))
    is_chain = all(deviation(case, name).any() for name in ahead)
    return nearest >= 0 and is_chain and (bool(after - {""}) or not _is_nearly_right(case))


def _is_seen(case, name):
    """Return whether the difference can see that a parameter is wrong."""
    if name not in case.params or not counts(case, name):
        return False
    off = np.abs(deviation(case, name))
    index = np.unravel_index(off.argmax(), off.shape)
    return off[index] > 0 and can_see(case, name, index, off[index])


def _is_nearly_right(case):
    """Return whether all gradients are, in direction and length; one number has no direction."""
    for name, grad in case.grads.items():
        given, true = np.ravel(grad).astype(float), np.ravel(case.upper[name])
        lengths = np.linalg.norm(given), np.linalg.norm(true)
        if not deviation(case, name).any():
            continue
        if given.size == 1 or not all(lengths) or not 0.5 < lengths[0] / lengths[1] < 2:
            return False
        if given @ true <= NEARLY * lengths[0] * lengths[1]:
            return False
    return True


def _is_of_parameter(case, seen):
    """Return whether errors are a multiple of the parameter, or of its sign."""
    off, theta = (
        np.array([values[name][index] for name, index in seen])
        for values in ({name: deviation(case, name) for name in case.params}, case.params)
    )
    with np.errstate(divide="ignore"):
        ratios = off / theta, off / np.sign(theta)
    return any(np.allclose(each, each[0], rtol=1e-3, atol=0) for each in ratios if each.size)


def _is_fitted(case, seen):
    """Return whether the factor is one number, and neither a whole one nor a part of one."""
    ratios = np.array([case.grads[name][index] / case.upper[name][index] for name, index in seen])
    if not ratios.size or not np.allclose(ratios, ratios[0], rtol=1e-3, atol=0):
        return False
    size = abs(np.median(ratios))
    whole = max(size, 1 / size) if size else 0.0
    return not np.isclose(whole, round(whole), rtol=1e-5)


@dataclass(frozen=True)
class Row:
    """One case, and the diagnosis of it.

    Attributes
    ----------
    name, family : str
        As in `Case`.
    label : str
        The planted cause; empty if none can be told.
    simple : str
        One of the simple causes that must always be named, or empty.
    found : str
        The cause named first, or "nothing".
    sentence : str
        The sentence of the first diagnosis.
    named : bool
        Whether the first diagnosis names the planted cause.
    wrong : bool
        Whether any diagnosis names another cause, and not just a place.
    """

    name: str
    family: str
    label: str
    simple: str
    found: str
    sentence: str
    named: bool
    wrong: bool


def notebook(plan):
    """Return what a notebook may also contain: the data, and numbers that are unrelated to it."""
    made, _, _ = solved(plan.family, plan.regime, plan.seed)
    decoys = {"learning_rate": 0.01, "lambd": 0.3, "dropout": 0.05, "epochs": 100, "hidden": 7}
    return {**decoys, **made.data, "alpha": 0.5, "momentum": 0.9, "random": np.arange(60.0)}


def is_true_anyway(plan, diagnosis) -> bool:
    """Return whether a diagnosis is true in any case.

    It says only where the gradient is wrong, or names a parameter that the cost does not depend on.
    What all gradients are divided by may be so at the start of the backward pass.
    """
    if plan.bug.kind == "by m" and diagnosis.cause is Cause.UPSTREAM:
        return not diagnosis.details["after"]
    without = FAMILIES[plan.family].without_gradient
    ignored = diagnosis.cause is Cause.COST_IGNORES_PARAMETERS
    return diagnosis.cause in LOCAL or (ignored and set(diagnosis.names) <= set(without))


def judged(plan, case, check) -> Row:
    """Return the row of one case."""
    diagnoses, what = check.diagnoses, planted(plan, case)
    silent = check.verdict in {Verdict.INCONCLUSIVE, Verdict.BUG} and not check.wrong.any()
    told = what is not None and not silent and can_be_told(case, what)
    first = _first(case, what, diagnoses)
    named = first is not None and what is not None and what.names(first)
    return Row(
        name=case.name,
        family=case.family,
        label=what.label if told else "",
        simple=_simple_label(plan, what) if told else "",
        found="no verdict" if silent else first.cause.name if first else "nothing",
        sentence=first.sentence if first else "",
        named=named,
        wrong=any(not (is_true_anyway(plan, d) or (what and what.names(d))) for d in diagnoses),
    )


def _first(case, what, diagnoses):
    """Return the first diagnosis of a planted parameter, or of a correct one; None if none is."""
    planted_in = what.where if what is not None and what.where else tuple(case.params)

    def is_beside(name):
        return name not in planted_in and deviation(case, name).any()

    told = (d for d in diagnoses if not all(map(is_beside, d.names)))
    return next(told, None)


def _simple_label(plan, what: Planted) -> str:
    """Return the name of the cause if it must never be missed, or else an empty string."""
    if plan.bug.kind == "1.001 times" or (plan.bug.inside and what.label != "REGULARIZATION"):
        return ""
    if what.label == "SCALE":
        return {2.0: "SCALE by 2", 0.5: "SCALE by ½"}.get(what.factor, "SCALE by m or 1/m")
    always = {"SIGN", "TRANSPOSED", "SWAPPED", "ZERO", "REGULARIZATION"}
    return what.label if what.label in always else ""


def run_shard(options: argparse.Namespace, shard: int) -> list[Row]:
    """Return the rows of every k-th case."""
    families = [name for name in FAMILIES if options.family in name]
    regimes = [name for name in REGIMES if options.regime in name]
    chosen = (
        plan
        for plan in plans(tuple(options.seeds), families, regimes, options.part)
        if plan.bug.name
    )
    built = ((p, case) for p in chosen if (case := build(p)) is not None)
    rows = []
    for plan, case in islice(built, shard, None, options.workers):
        names = notebook(plan)
        check = check_gradients(case.params, case.grads, case.cost, names=names, mode="full")
        rows.append(judged(plan, case, check))
        if shard == 0:
            progress(len(rows) * options.workers)
    return rows


# What is printed


def show_causes(rows: list[Row]) -> None:
    """Show how often each cause is the one named first, among the cases in which it can be told."""
    lines = []
    labels = sorted({row.label for row in rows if row.label})
    for label in labels:
        part = [row for row in rows if row.label == label]
        silent = sum(row.found in {"UNKNOWN", "nothing"} for row in part)
        lines.append([label, len(part), share(part), silent, sum(row.wrong for row in part)])
    rest = [row for row in rows if not row.label]
    lines.append(["cannot be told", len(rest), "–", "–", sum(row.wrong for row in rest)])
    show_table(
        "Planted causes (named: the first one is the planted one; wrong: it is another one)",
        ["", "cases", "named", "unknown", "wrong"],
        lines,
    )
    always = sorted({row.simple for row in rows if row.simple})
    show_table(
        "Those that must always be named",
        ["", "cases", "named"],
        [[name, len(part := _of(rows, "simple", name)), share(part)] for name in always],
    )


def show_boundaries(rows: list[Row]) -> None:
    """Show how often the right place in the backward pass is named, by family."""
    part = _of(rows, "label", "UPSTREAM")
    families = sorted({row.family for row in part})
    show_table(
        "The place in the backward pass",
        ["", "cases", "right", "unknown", "wrong"],
        [
            [
                family,
                len(some := _of(part, "family", family)),
                share(some),
                sum(row.found == "UNKNOWN" for row in some),
                sum(row.wrong for row in some),
            ]
            for family in families
        ],
    )


def share(rows: Sequence[Row]) -> str:
    """Return the share of rows whose cause is named, in percent."""
    return f"{100 * sum(row.named for row in rows) / len(rows):.1f} %" if rows else "–"


def _of(rows: Iterable[Row], field: str, value: str) -> list[Row]:
    return [row for row in rows if getattr(row, field) == value]


def show_failures(rows: list[Row]) -> None:
    """List the cases that were missed, those with a wrong name first."""
    failing = [row for row in rows if row.wrong] + [
        row for row in rows if row.label and not row.named and not row.wrong
    ]
    say(f"\n{len(failing)} cases missed")
    for row in failing[:MOST_LINES]:
        kind = "wrong" if row.wrong else "missed"
        say(f"  {kind:7} {row.name}  [{row.label}]  {row.found}: {row.sentence}")


def goals(rows: list[Row]) -> list[Goal]:
    """Return the goals of the diagnosis."""
    told = [row for row in rows if row.label]
    always = [row for row in told if row.simple]
    places = [row for row in _of(told, "label", "UPSTREAM") if kind_of(row.family) in SEQUENTIAL]

    def at_least(wanted: str, part: list[Row], least: float) -> Goal:
        count = Count(sum(row.named for row in part), len(part))
        return Goal(wanted, f"{count} ({share(part)})", count.found >= least * count.among)

    wrong = Count(sum(row.wrong for row in rows), len(rows))
    return [
        at_least("the planted cause named first, at least 97 %", told, NAMED_SHARE),
        at_least("the simple ones always", always, 1.0),
        at_least("the right place in sequential nets, at least 95 %", places, BOUNDARY_SHARE),
        Goal("wrong names under 1 %", str(wrong), wrong.found < WRONG_SHARE * wrong.among),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if the goals are met."""
    options = parsed(corpus_parser("python -m tests.benchmarks.diagnosis"), arguments)
    rows = run_on_all_cores(run_shard, options)
    if not rows:
        say("No case has that family and regime.")
        return 2
    told = sum(bool(row.label) for row in rows)
    silent = sum(row.found == "no verdict" for row in rows)
    say(f"{len(rows)} wrong gradients, {silent} of them without a wrong entry")
    say(f"in {told} the cause can be told from its neighbours")
    show_causes(rows)
    show_boundaries(rows)
    show_failures(rows)
    return 0 if show_goals(goals(rows)) else 1


if __name__ == "__main__":
    sys.exit(main())

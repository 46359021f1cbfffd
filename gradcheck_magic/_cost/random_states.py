"""Random states: taken before something draws from the generators, and put back afterwards.

A random cost, such as one with dropout, has a gradient for each state of its generators. If every
evaluation begins with the same state, the cost is repeatable; if that is also the state with which
the gradient was computed, the two belong together.
"""

from __future__ import annotations

import copy
import random
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import Any, Self

import numpy as np

from gradcheck_magic._cost.reached import reached
from gradcheck_magic._inputs.parameters import is_function
from gradcheck_magic._wording import quoted
from gradcheck_magic.errors import InputError

__all__ = ["DRAWING", "Origin", "RandomStates", "StatesOfCell", "starts"]

# A function that returns a state, and one that sets it.
Source = tuple[Callable[[], Any], Callable[[Any], object]]
# Threads share generators: one draws after the other.
DRAWING = threading.RLock()
# At most this many states of one cell are compared.
MOST_STARTS = 8


class Origin(Enum):
    """When random states were taken, with which each evaluation begins."""

    CHECK = "at the start of the check"
    CELL = "before the cell that computes the gradient"
    STATEMENT = "before a later statement of that cell"
    FUNCTION = "before the gradient function was called"


class RandomStates:
    """The states of the generators that all code shares, and of some of the user's.

    They can be pickled together with functions that use these generators.

    Parameters
    ----------
    generators : iterable
        The user's own generators.

    Attributes
    ----------
    states : dict
        For each generator, the function that sets its state, and the state.
    origin : Origin
        When they were taken.
    """

    def __init__(self, generators: Iterable[Any] = ()) -> None:
        self.states: dict[object, tuple[Callable[[Any], object], Any]] = {}
        self.origin = Origin.CHECK
        self._get: dict[object, Callable[[], Any]] = {}
        for key, (get, put) in _shared().items():
            self.states[key], self._get[key] = (put, get()), get
        for each in generators:
            # What an object of the user's answers with is not ours to trust.
            with suppress(Exception):
                get, put = _own(each)
                self.states[id(each)], self._get[id(each)] = (put, get()), get

    def __getstate__(self) -> dict[str, Any]:
        # A worker only puts them back.
        return {**vars(self), "_get": {}}

    def now(self) -> Self:
        """Return the states that the same generators have now."""
        states = copy.copy(self)
        states._get = self._get  # noqa: SLF001 (of the same class)
        states.states = {key: (put, self._get[key]()) for key, (put, _) in self.states.items()}
        return states

    @property
    def restores(self) -> list[partial[object]]:
        """The functions that set one state each."""
        return [partial(put, state) for put, state in self.states.values()]

    def put_back(self) -> None:
        """Set all the states."""
        for put, state in self.states.values():
            put(state)

    def are_same(self, others: RandomStates) -> bool:
        """Return True if the same generators are in the same states."""
        return self.states.keys() == others.states.keys() and all(
            _is_same(state, others.states[key][1]) for key, (_, state) in self.states.items()
        )

    def before(self, earlier: RandomStates) -> Self:
        """Return the states of the same generators in a cell, as far as they are known earlier."""
        known = {key: state for key, state in earlier.states.items() if key in self.states}
        states = copy.copy(self)
        states.states, states.origin = {**self.states, **known}, earlier.origin
        return states


class StatesOfCell:
    """The random states before each statement of a cell.

    Parameters
    ----------
    namespace : mapping
        The variables of the notebook.
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        # They are kept, so that no `id` is used twice.
        self._seen: dict[int, object] = {}
        self._generators: list[object] = []
        self.taken: list[RandomStates] = []

    def take(self) -> None:
        """Take the states of now, also of generators in variables that are new."""
        new = [value for value in [*self._namespace.values()] if id(value) not in self._seen]
        self._seen |= {id(value): value for value in new}
        found = [each.value for each in reached(*new) if each.kind.is_generator]
        known = set(map(id, self._generators))
        self._generators += [each for each in found if id(each) not in known]
        states = RandomStates(self._generators)
        states.origin = Origin.STATEMENT if self.taken else Origin.CELL
        self.taken.append(states)


def starts(reseed: object, now: RandomStates, grads: object) -> list[RandomStates]:
    """Return the states with which each evaluation may begin; none if they are not put back.

    Parameters
    ----------
    reseed : bool, or list of RandomStates
        Whether they are put back; or the states before each statement of the cell that computes the
        gradient. Of these, only those count after which the cell has drawn.
    now : RandomStates
        The states at the start of the check, of all generators that the user's functions reach.
    grads : object
        The gradient. If it is a function, that begins with the same states, whatever they are.

    Raises
    ------
    InputError
        If `reseed` is something else, such as a seed.
    """
    if isinstance(reseed, (bool, np.bool_)):
        reseed = [now] if reseed else []
    if not (isinstance(reseed, list) and all(isinstance(each, RandomStates) for each in reseed)):
        raise InputError(
            f"`reseed` is {quoted(reseed)}: expected True, to put random states back before every "
            "evaluation, or False."
        )
    if not reseed:
        return []
    if is_function(grads):
        now.origin = Origin.FUNCTION
        return [now]
    found: list[RandomStates] = []
    later = now
    for each in reversed(reseed):
        # A generator that was made afterwards is first known from then.
        earlier = later.before(each)
        if not earlier.are_same(later):
            found.insert(0, earlier)
        later = earlier
    return found[:MOST_STARTS] or [later]


def _shared() -> dict[object, Source]:
    sources: dict[object, Source] = {
        "random": (random.getstate, _set_pythons),
        "numpy": (_numpys, _set_numpys),
    }
    torch: Any = sys.modules.get("torch")
    if hasattr(torch, "get_rng_state"):
        sources["torch"] = torch.get_rng_state, _set_torchs
        if torch.cuda.is_initialized():
            sources["cuda"] = torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all
    return sources


# A worker has shared generators of its own: pickled, these functions are found there by their name,
# whereas a method would take its generator along.


def _set_pythons(state: Any) -> None:
    random.setstate(state)


def _numpys() -> Any:
    return np.random.get_state(legacy=False)  # noqa: NPY002 (the user's)


def _set_numpys(state: Any) -> None:
    np.random.set_state(state)  # noqa: NPY002 (the user's)


def _set_torchs(state: Any) -> None:
    sys.modules["torch"].set_rng_state(state)


def _own(generator: Any) -> Source:
    bits = getattr(generator, "bit_generator", generator)
    if isinstance(bits, np.random.BitGenerator):
        return partial(getattr, bits, "state"), partial(_set_bits, generator)
    if isinstance(generator, random.Random):
        return generator.getstate, generator.setstate
    return generator.get_state, generator.set_state


def _set_bits(generator: Any, state: Any) -> None:
    getattr(generator, "bit_generator", generator).state = state


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(np.array_equal(one, other))

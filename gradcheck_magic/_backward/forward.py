"""The forward pass: J by each array that it binds, moved in place at the moment it is bound."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from types import CodeType, FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_array, is_complex, is_foreign, moved, writable
from gradcheck_magic._backward.bound import Bound, Read, Run, leaves
from gradcheck_magic._backward.custom import CustomCall, custom_call
from gradcheck_magic._backward.inner import inner_of, is_array
from gradcheck_magic._backward.record import Recorder, bound_value
from gradcheck_magic._backward.references import Names, Reference, names_in
from gradcheck_magic._backward.sources import Source, source_of
from gradcheck_magic._backward.statements import Part, Statement
from gradcheck_magic._backward.trace import Call, StatementTracer
from gradcheck_magic._cost.cost import Cost
from gradcheck_magic._inputs.ownership import is_in_library
from gradcheck_magic._inputs.parameters import Parameter
from gradcheck_magic._measure.ladder import Estimate, Ladder
from gradcheck_magic._measure.lines import rung_along

__all__ = ["ForwardPass", "Use", "direction"]

Array = NDArray[Any]
Vector = NDArray[np.float64]
# An array, and a value made from it by the statement that uses it; None for all of its uses.
Use = tuple[int, int | None]

# The first step, in units of the typical entry of an array, and the least and the most rungs.
STEP_OF_ARRAY = 1e-5
SMALLEST_STEP = 1e-10
MOST_RUNGS = 4
# The place of a value inside an expression.
WITHIN = "inside"
# A slope is known well enough if its error bar is at most this part of it.
KNOWN_TO = 1e-4


@lru_cache(maxsize=64)
def direction(size: int, number: int) -> Vector:
    """Return one of the random directions for arrays of a size, always the same."""
    if size == 1:
        return np.ones(1)
    vector = np.random.default_rng([size, number]).standard_normal(size)
    vector.setflags(write=False)
    return vector


@dataclass(eq=False)
class ForwardPass:
    """What one evaluation of J binds, and the slopes of J by it.

    Attributes
    ----------
    bound : list of Bound
        What it binds, in order.
    obstacle : str
        Why J could not be followed; empty if it was.
    is_late : bool
        True if there was no time for a slope that was asked for.
    end : int
        The place of J itself: what is bound later is not needed for it.
    custom_calls : list of CustomCall
        The calls of custom functions of torch and JAX.
    pieces : sequence of Parameter
        The parameters; those of a flat θ are pieces of it.
    """

    cost: Cost
    until: float
    bound: list[Bound] = field(default_factory=list)
    obstacle: str = ""
    end: int = 0
    is_late: bool = False
    custom_calls: list[CustomCall] = field(default_factory=list)
    pieces: Sequence[Parameter] = ()
    _slopes: dict[tuple[int, int, int | None], Estimate | None] = field(default_factory=dict)

    def follow(self) -> None:
        """Evaluate J once, and record what it binds."""
        with ForwardRecorder() as recorder:
            for parameter, array in self._parameters():
                recorder.add_parameter(parameter, array)
            self.cost.here(self.cost.own)
        self.bound, self.obstacle = recorder.bound, recorder.obstacle
        self.custom_calls = recorder.custom_calls
        last = [b.index for b in self.bound if b.size == 1 and b.value[0] == self.cost.value]
        self.end = last[-1] if last else len(self.bound)

    def _parameters(self) -> Iterator[tuple[str, Array]]:
        """Yield the name of each parameter, and the array through which the cost gets it."""
        buffers = self.cost.buffers()
        yield from buffers
        for each in self.pieces if len(self.pieces) != len(buffers) else ():
            yield each.name, buffers[0][1].reshape(-1)[each.start : each.stop].reshape(each.shape)

    def slope(self, k: int, number: int, user: int | None = None) -> Estimate | None:
        """Return the slope of J by the k-th array along a direction; None if there is none.

        Given a user, the array is moved only while the statement runs that binds that value.
        """
        key = k, number, user
        if key not in self._slopes:
            self._slopes[key] = None
            self.is_late = self.is_late or self.is_over
            mover = self._mover(k, user)
            if mover is not None and not self.is_late:
                along = direction(self.size((k, user)), number)
                slope = self._measured(self.bound[k], mover, along)
                self._slopes[key] = self._without_nested(k, number, user, slope)
        return self._slopes[key]

    def _without_nested(
        self, k: int, number: int, user: int | None, slope: Estimate | None
    ) -> Estimate | None:
        """Return the slope by a use without those by the uses in the calls of the statement."""
        nested = [] if user is None else self._nested(k, user)
        for use in nested if slope else ():
            other = self.slope(k, number, use)
            if slope is None or other is None:
                return None
            low, high = slope.low - other.low, slope.high - other.low
            slope = replace(slope, low=low, high=high, bar=slope.bar + other.bar)
        return slope

    def _nested(self, k: int, user: int) -> list[int]:
        """Return the uses of an array by what a statement calls that uses it, too."""
        statement, ran = self.bound[user].run
        # The statement may have run before, and its calls have used the array then.
        earlier = [i for i in self.made_by(statement) if self.bound[i].ran < ran]
        uses = [u for _, u in self.uses(k) if u is not None and max(earlier, default=-1) < u < user]
        return [u for u in uses if statement in self.bound[u].callers]

    @property
    def is_over(self) -> bool:
        """True if the time is over."""
        return time.perf_counter() > self.until

    def _mover(self, k: int, user: int | None) -> Callable[[Vector], Mover] | None:
        """Return what moves the k-th array; None if nothing binds it, or reads it by a name."""
        if user is None:
            return partial(Mover, self.bound[k]) if self.bound[k].is_own else None
        read = self._read(k, user)
        return read and partial(UseMover, self.bound[k], self.bound[user], read)

    def _read(self, k: int, user: int) -> Read | None:
        """Return how a value was made from the k-th one, if that was read by a name."""
        reads = [read for i, read in self.bound[user].reads.items() if self.origin(i) == k]
        return next((read for read in reads if read.load is not None), None)

    def size(self, use: Use) -> int:
        """Return how many entries of an array are used."""
        k, user = use
        read = None if user is None else self._read(k, user)
        return self.bound[k].size if read is None else math.prod(read.shape)

    def _measured(
        self, bound: Bound, mover: Callable[[Vector], Mover], along: Vector
    ) -> Estimate | None:
        scale = float(np.sqrt(np.mean(np.square(bound.value, dtype=np.float64)))) or 1.0
        if not math.isfinite(scale):
            return None
        precision = self.cost.best
        ladder = Ladder(scale, SMALLEST_STEP * scale, abs(self.cost.value))
        noise = (precision.noise / max(abs(self.cost.value), 1e-300)) ** (1 / 3)
        step: float | None = scale * min(max(STEP_OF_ARRAY, noise), 0.1)
        while step is not None and len(ladder.rungs) < MOST_RUNGS:
            if not ladder.add(rung_along(self._along(mover, along), step, precision)):
                break
            estimate = ladder.estimate
            if estimate.bar <= KNOWN_TO * abs(estimate.low):
                break
            step = ladder.next_step(step * 8)
        estimate = ladder.estimate
        return estimate if math.isfinite(estimate.bar) and not estimate.on_kink else None

    def _along(self, mover: Callable[[Vector], Mover], along: Vector) -> Callable[[float], float]:
        return lambda distance: self._moved(mover(distance * along))

    def _moved(self, mover: Mover) -> float:
        """Return J with an array moved; nan if it is not bound as before."""
        with mover:
            value = self.cost.here()
        if mover.cost is not None:
            return mover.cost
        return value if mover.has_moved else math.nan

    def label(self, k: int) -> str:
        """Return what to call the k-th array: what a function returns has no name."""
        bound = self.bound[k]
        return bound.label or f"what {bound.statement.function or 'the cell'} returns"

    def origin(self, k: int) -> int:
        """Return where the k-th value was bound first."""
        alias_of = self.bound[k].alias_of
        return k if alias_of is None else self.origin(alias_of)

    def matters(self, k: int) -> bool:
        """Return True if J depends on the k-th array."""
        if k > self.end:
            return False
        if (origin := self.origin(k)) != k:
            return self.matters(origin)
        if self.bound[k].value.dtype.kind != "f":
            return False
        known = self.slope(k, 0)
        return known is not None and abs(known.low) > known.bar

    @cached_property
    def by_size(self) -> dict[int, list[int]]:
        """The arrays that J may depend on, by their size."""
        found: dict[int, list[int]] = {}
        for bound in self.bound[: self.end + 1]:
            if bound.is_own and bound.alias_of is None and bound.value.dtype.kind == "f":
                found.setdefault(bound.size, []).append(bound.index)
        return found

    @cached_property
    def _inside(self) -> dict[Run, list[int]]:
        """The values inside the expression of a statement, each time it ran."""
        found: dict[Run, list[int]] = {}
        for bound in self.bound:
            if bound.is_inside:
                found.setdefault(bound.run, []).append(bound.index)
        return found

    @cached_property
    def _readers(self) -> dict[int, set[Run]]:
        """What reads each value."""
        found: dict[int, set[Run]] = {}
        for bound in self.bound:
            is_new = bound.is_own and bound.alias_of is None
            for read in bound.reads if is_new else ():
                found.setdefault(self.origin(read), set()).add(bound.run)
        return found

    def operands(self, k: int) -> list[int]:
        """Return the values that the k-th one was computed from, the nearest first."""
        bound = self.bound[k]
        inside = self._inside.get(bound.run, [])
        nested = [i for i in reversed(inside) if i < k]
        reads = bound.reads
        if bound.is_inside:
            whole = [
                b.reads
                for b in self.bound[k : k + len(inside) + 2]
                if b.statement is bound.statement and not b.is_inside
            ]
            reads = whole[0] if whole else {}
        return list(dict.fromkeys([*nested, *map(self.origin, reads)]))

    def parameter(self, name: str) -> list[int]:
        """Return the place of a parameter."""
        return [b.index for b in self.bound if b.is_parameter and b.name == name]

    @cached_property
    def _made_by(self) -> dict[Run, list[int]]:
        """What each statement has bound each time it ran, with the values inside its expression."""
        found: dict[Run, list[int]] = {}
        for bound in self.bound:
            if bound.alias_of is None:
                found.setdefault(bound.run, []).append(bound.index)
        return found

    @cached_property
    def _by_statement(self) -> dict[Statement, list[int]]:
        """What each statement has made."""
        found: dict[Statement, list[int]] = {}
        for (statement, _), made in self._made_by.items():
            whole = [k for k in made if not self.bound[k].is_inside and self.bound[k].is_own]
            found.setdefault(statement, []).extend(whole)
        return found

    def made_by(self, statement: Statement) -> list[int]:
        """Return the values that a statement has made."""
        return self._by_statement.get(statement, [])

    def consumers(self, k: int) -> set[int]:
        """Return the values that are computed from the k-th one by the statements that read it."""
        return {i for reader in self._readers.get(k, ()) for i in self._made_by.get(reader, ())}

    def is_used_once(self, k: int) -> bool:
        """Return True if only one statement reads the k-th value."""
        return self.bound[k].is_inside or len(self._readers.get(k, ())) == 1

    def uses(self, k: int, users: Iterable[int] | None = None) -> list[Use]:
        """Return the uses of the k-th array by what makes these values; all if none are given."""
        users = sorted(self.consumers(k)) if users is None else users
        found: list[Use] = []
        for run in dict.fromkeys(self.bound[user].run for user in users):
            made = [self.bound[i] for i in self._made_by.get(run, ())]
            reading = (b.index for b in made if k in map(self.origin, b.reads))
            found += [(k, i) for i in reading][:1]
        return found

    def uses_in_call(self, use: Use) -> frozenset[Use]:
        """Return all uses of an array in the call of a function in which one of them is."""
        k, user = use
        call = None if user is None else self.bound[user].call
        every = self.uses(k) if call else []
        return frozenset((k, i) for _, i in every if i is not None and self.bound[i].call == call)


class ForwardRecorder(Recorder):
    """A context that also records the values inside the expressions of a forward pass.

    Attributes
    ----------
    custom_calls : list of CustomCall
        The calls of custom functions of torch and JAX.
    """

    def __init__(self) -> None:
        super().__init__()
        self.custom_calls: list[CustomCall] = []

    def called(self, call: Call, frame: FrameType) -> None:
        """Record the arguments of a call; those of a custom function can be moved for it alone."""
        n_before = len(self.bound)
        super().called(call, frame)
        custom = custom_call(call.number, frame) if call.is_callback else None
        if custom is not None:
            self.custom_calls.append(custom)
            for new in self.bound[n_before:]:
                new.code = frame.f_code
                new.place = self._n_called[new.code], 0, (new.name,)

    def add_parameter(self, name: str, array: NDArray[Any]) -> None:
        """Record a parameter before the function runs."""
        nowhere = Statement("", 0, 0, name, "", ())
        new = Bound(nowhere, name, name, {}, 0, is_parameter=True)
        if array.size:
            self.keep(new, array)

    def begins(self, call: Call, frame: FrameType) -> None:
        """Record the values inside the expressions of the statement."""
        super().begins(call, frame)
        statement = call.statement
        for number, part in enumerate(statement.parts if statement else ()):
            inner = inner_of(part)
            if inner is None or statement is None:
                continue
            found: dict[int, Any] = {}
            inner.evaluated(frame, found.setdefault)
            for k, value in found.items():
                if is_array(value):
                    new = Bound(statement, inner.texts[k], "", {}, call.number, call.callers)
                    new.is_inside = True
                    new.ran = self._n_ended[statement] + 1
                    new.place = new.ran, number, (WITHIN, k)
                    self.keep(new, np.array(as_array(value)))
                    new.is_complex = is_complex(value)


class Mover(StatementTracer):
    """A context in which a value is moved when it is bound; in the end, it is put back.

    Only the function that binds it is traced, and only until then.

    Attributes
    ----------
    has_moved : bool
        True if the value was bound as before, and moved.
    cost : float, optional
        J, if it is computed by the very expression in which a value is moved.
    """

    def __init__(self, bound: Bound, move: Vector) -> None:
        super().__init__()
        self.has_moved = False
        self.cost: float | None = None
        self._bound, self._move = bound, move
        self._n_ended = 0
        self._instead: Any = None
        self._undo: Callable[[], object] | None = None

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        self._put_back()

    def _put_back(self) -> None:
        if self._undo is not None:
            self._undo()
        self._undo = None

    def wants(self, code: CodeType) -> Source | None:
        """Return the statements of the function that binds the value."""
        if self._bound.code is not None:
            return source_of(code) if code == self._bound.code else None
        statement = self._bound.statement
        if code.co_filename != statement.file or code.co_name != statement.code_name:
            return None
        return source_of(code)

    def called(self, call: Call, frame: FrameType) -> None:  # noqa: ARG002 (that of any tracer)
        """Move an argument if it was passed now."""
        if self._bound.code is None:
            return
        self._n_ended += 1
        number, _, (name,) = self._bound.place
        if self._n_ended == number:
            self.stop()
            # Another one takes its place in this call: it is moved for no one else.
            names = names_in(frame)
            leaf = names.get(name)
            array = as_array(leaf)
            if isinstance(leaf, float) or (array is not None and array.shape == self._bound.shape):
                names.assign(name, moved(leaf, self._move))
                self.has_moved = True

    def _move_leaf(
        self, leaf: Any, shape: tuple[int, ...], target: Reference | None, names: Names
    ) -> None:
        """Move an array in place; of what cannot be changed, another one takes its place."""
        array = writable(leaf)
        if array is not None and array.shape == shape:
            self._fill(array, array + self._move.reshape(shape))
        elif target is not None and (isinstance(leaf, float) or is_foreign(leaf)):
            self._assign(target, leaf, moved(leaf, self._move), names)

    def _fill(self, array: Array, instead: Array) -> None:
        self._undo = partial(np.copyto, array, array.copy())
        np.copyto(array, instead)
        self.has_moved = True

    def _assign(self, target: Reference, value: Any, instead: Any, names: Names) -> None:
        self._undo = partial(target.assign, names, value)
        target.assign(names, instead)
        self.has_moved = True

    @property
    def _part(self) -> Part:
        return self._bound.statement.parts[self._bound.place[1]]

    def begins(self, call: Call, frame: FrameType) -> None:
        """Compute the expression with a part of it moved, if that is to be moved now."""
        number, _, path = self._bound.place
        if call.statement is not self._bound.statement or self._n_ended + 1 < number:
            return
        inner = inner_of(self._part) if path[:1] == (WITHIN,) else None
        if inner is not None:

            def hook(k: int, value: Any) -> Any:
                return moved(value, self._move) if k == path[1] else value

            self._instead = inner.evaluated(frame, hook)

    def ended(self, call: Call, frame: FrameType, returned: Any) -> None:
        """Move the value if it was bound now."""
        bound = self._bound
        if call.statement is not bound.statement:
            return
        self._n_ended += 1
        number, _, path = bound.place
        if self._n_ended < number:
            return
        self.stop()
        part, names = self._part, names_in(frame)
        if path[:1] == (WITHIN,):
            self._replace(bound_value(part, names, returned), frame, names)
            return
        leaf = dict(leaves(bound_value(part, names, returned))).get(path)
        self._move_leaf(leaf, bound.shape, None if path or part.path else part.target, names)

    def _replace(self, value: Any, frame: FrameType, names: Names) -> None:
        """Give an array or a number the value that the statement would have bound."""
        instead, target = self._instead, self._part.target
        above = frame.f_back
        if isinstance(value, float) and isinstance(instead, float):
            if target is not None:
                self._assign(target, value, type(value)(instead), names)
            elif above is not None and is_in_library(above.f_code.co_filename):
                # It is what the cost itself returns.
                self.cost = float(instead)
        array, other = writable(value), as_array(instead)
        if array is not None and other is not None and other.shape == array.shape:
            self._fill(array, other)
        elif array is None and target is not None and is_foreign(instead):
            self._assign(target, value, instead, names)


class UseMover(Mover):
    """A context in which an array is moved only while one statement runs that reads it."""

    def __init__(self, bound: Bound, user: Bound, read: Read, move: Vector) -> None:
        super().__init__(bound, move)
        self._user, self._read = user, read

    def wants(self, code: CodeType) -> Source | None:
        """Return the statements of the function that reads the value."""
        statement = self._user.statement
        if code.co_filename != statement.file or code.co_name != statement.code_name:
            return None
        return source_of(code)

    def called(self, call: Call, frame: FrameType) -> None:
        """Do nothing: arguments are moved by the statements that read them."""

    def begins(self, call: Call, frame: FrameType) -> None:
        """Move the value if it is read now."""
        load, path = self._read.load, self._read.path
        is_it = call.statement is self._user.statement and self._n_ended + 1 == self._user.ran
        if not is_it or self.has_moved or load is None:
            return
        names = names_in(frame)
        leaf = dict(leaves(load.value_in(names))).get(path)
        self._move_leaf(leaf, self._read.shape, None if path else load, names)

    def ended(self, call: Call, frame: FrameType, returned: Any) -> None:  # noqa: ARG002 (ditto)
        """Put the value back, now that it was read."""
        if call.statement is not self._user.statement:
            return
        self._n_ended += 1
        if self.has_moved:
            self._put_back()
            self.stop()

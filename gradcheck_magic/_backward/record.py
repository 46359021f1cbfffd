"""Records the value of everything that the user's code binds while it runs."""

from __future__ import annotations

import math
import time
from collections import Counter
from types import CodeType, FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_magic._backward.arrays import as_array, as_numpy, is_complex, is_foreign, is_tensor
from gradcheck_magic._backward.bound import KINDS, MOST_ITEMS, Bound, Read, Reads, leaves
from gradcheck_magic._backward.custom import is_called_by_library
from gradcheck_magic._backward.memory import Memory
from gradcheck_magic._backward.references import (
    NOWHERE,
    Names,
    Reference,
    attribute_of,
    attributes_of,
    names_in,
)
from gradcheck_magic._backward.sources import Source
from gradcheck_magic._backward.statements import Part, Statement
from gradcheck_magic._backward.trace import Call, StatementTracer

__all__ = ["Recorder", "bound_value", "labelled"]

Array = NDArray[Any]
# At most this many values are recorded, and bytes of arrays.
MOST_VALUES = 20_000
MOST_RECORDED_BYTES = 1 << 28
# While the time is limited, this many.
BYTES_ON_THE_SIDE = 1 << 26
# Arguments that are larger are not recorded by themselves.
LARGEST_ARGUMENT = 1_000_000
# Of larger parts of an array that are read, no copy is kept.
LARGEST_PART = 10_000
# What is no array and is kept, too.
CONSTANTS = {int, float, bool, str, tuple, type(None), np.float64, np.float32, np.int64, slice}
# The time in seconds that recording may take in any case.
ALLOWANCE = 0.05
# Of each object, at most this many attributes are looked at.
MOST_ATTRIBUTES = 8
# So many bytes can be copied in a second, to memory that was not used before.
COPIED_PER_SECOND = 1e9
TOO_SLOW = "to record all that it binds would slow it down; %%gradcheck --trace takes that time"

# What calls the functions that no statement of the user's calls.
LIBRARY = Statement("", 0, 0, "", "", ())


class Recorder(StatementTracer):
    """A context that records what the user's code binds.

    Parameters
    ----------
    share : float
        The part of the time of the user's code that recording may take, after `ALLOWANCE`; inf for
        no limit.

    Attributes
    ----------
    bound : list of Bound
        What was bound, in order.
    """

    def __init__(self, *, share: float = math.inf) -> None:
        super().__init__()
        self.bound: list[Bound] = []
        self.memory = Memory()
        self._share = share
        self._library = Call(Source(), 0, statement=LIBRARY)
        self._last: dict[tuple[int, str], int] = {}
        self._renamed: dict[tuple[int, int], int] = {}
        self._parts: dict[tuple[int, str], Bound] = {}
        self._unrecorded: dict[tuple[int, str], Statement] = {}
        self._owners: list[Any] = []
        self._copies: dict[int, Array] = {}
        self._n_ended: Counter[Statement] = Counter()
        self._n_called: Counter[CodeType] = Counter()
        self._n_bytes = 0
        self._started = time.perf_counter()

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        # What stays are copies.
        self.memory.clear()
        self._owners.clear()
        self._copies.clear()

    def called(self, call: Call, frame: FrameType) -> None:
        """Record the arguments of a call as other names of what they are."""
        code = frame.f_code
        above = self.calls[-1] if self.calls else self._library
        if code.co_freevars:
            call.at_hand = self._of_closure(frame)
        if not code.co_argcount or above.statement is None:
            return
        self._n_called[code] += 1
        call.is_callback = is_called_by_library(frame)
        local = frame.f_locals
        for name in code.co_varnames[: code.co_argcount]:
            leaf: Any = local.get(name)
            call.arguments.add(id(leaf))
            array = as_array(leaf)
            is_array = array is not None and array.dtype.kind in KINDS
            if array is not None and array.size > LARGEST_ARGUMENT:
                continue
            if above is self._library and not is_foreign(leaf):
                continue
            if is_array or isinstance(leaf, (float, np.floating)) or type(leaf) is int:
                before = self.memory.index_of(leaf)
                reads = self._reads_for(above, leaf, before)
                new = Bound(above.statement, name, name, reads, call.number, call.callers)
                new.is_argument, new.ran = True, self._n_ended[above.statement] + 1
                new.called, new.constants = code, above.constants
                if before is None and id(leaf) not in above.loaded:
                    new.code, new.place = code, (self._n_called[code], 0, (name,))
                    if call.is_callback and is_foreign(leaf):
                        # What else the library has called may have computed a part of it.
                        new.is_handed_in = True
                        new.reads.update(dict.fromkeys(above.returned, Read()))
                self.keep(new, leaf, before)

    def _of_closure(self, frame: FrameType) -> dict[str, tuple[int, Any]]:
        """Return the attributes of a closure's objects: where they were recorded, or what."""
        found: dict[str, tuple[int, Any]] = {}
        for name in frame.f_code.co_freevars:
            owner = frame.f_locals.get(name)
            for attribute in attributes_of(owner)[:MOST_ATTRIBUTES]:
                leaf = attribute_of(owner, attribute)
                k = self.memory.index_of(leaf)
                value = leaf if type(leaf) is float or k is not None else self._copied(leaf)
                if value is not None:
                    found[f"{name}.{attribute}"] = (-1, value) if k is None else (k, None)
        return found

    def _reads_for(self, above: Call, leaf: Any, before: int | None) -> Reads:
        """Return what the statement of a caller has read to make an argument."""
        read = {k: how._replace(path=()) for part in above.reads for k, how in part.items()}
        if before is not None:
            # The latest name that the caller has given to it.
            names = [*above.returned, *read]
            return {next((k for k in names if self.bound[k].alias_of == before), before): Read()}
        return {} if id(leaf) in above.loaded else read

    def begins(self, call: Call, frame: FrameType) -> None:
        """Note what the statement is about to read."""
        if not self._has_time():
            return
        call.loaded.clear()
        call.returned.clear()
        call.passed_on.clear()
        call.constants, call.binders = {}, []
        names = names_in(frame)
        parts = call.statement.parts if call.statement else ()
        call.reads = [self._known(_loaded(part, names), names, call) for part in parts]
        call.before = [self._changed(part, names) for part in parts]

    def _changed(self, part: Part, names: Names) -> Array | None:
        """Return a copy of what a part of a statement is about to change."""
        if part.target is None or not (part.changes or part.is_item):
            return None
        value = part.target.value_in(names)
        is_number = isinstance(value, (float, np.floating)) and part.changes
        array = np.asarray(value) if is_number else as_array(value)
        if array is None or array.dtype.kind != "f":
            return None
        has_time = self._has_time(array.nbytes / COPIED_PER_SECOND)
        return array.copy().reshape(-1) if has_time else None

    def _has_time(self, more: float = 0.0) -> bool:
        """Return True if some more time may be taken; otherwise, record no further."""
        if math.isinf(self._share):
            return True
        others = time.perf_counter() - self._started - self.seconds
        has_time = self.seconds + more <= ALLOWANCE + self._share * others
        if not has_time:
            self.stop(TOO_SLOW)
        return has_time

    def _known(self, loads: tuple[Reference, ...], names: Names, call: Call) -> Reads:
        """Return what was recorded of what a statement reads, with its place in a container."""
        found: Reads = {}
        for load in loads:
            value = load.value_in(names)
            call.loaded.add(id(value))
            self._keep_constant(load, value, call)
            if isinstance(value, int):
                # Small numbers are the same objects everywhere.
                known = self._last.get((call.number, load.text))
                found.update({} if known is None else {known: Read((), load)})
            here = call.number
            if (binder := self._unrecorded.get((here, load.text))) is not None:
                call.binders.append(binder)
            alias = self._last.get((here, load.text), self._last.get((here, load.root)))
            for path, leaf in leaves(value):
                where = list(self.memory.where(leaf)) or self._where_item(load, names, value)
                if alias is not None and self.bound[alias].alias_of in where:
                    where = [alias]
                elif path:
                    where = [self._in_container(call, load, value, path, k) for k in where]
                shape = as_numpy(leaf).shape
                parts = [k for k in where if not path and self.bound[k].shape != shape]
                if parts and math.prod(shape) <= LARGEST_PART:
                    where = [k for k in where if k not in parts]
                    where.append(self._part(call, load, names, leaf, parts))
                for index in where:
                    found.setdefault(index, Read(path, load, shape))
        return found

    def _keep_constant(self, load: Reference, value: Any, call: Call) -> None:
        """Keep what the statement reads and nothing recorded has bound."""
        if type(value) in CONSTANTS:
            call.constants[load.text] = value
        elif type(value) in {list, dict}:
            # Only its length may be asked for.
            call.constants[load.text] = range(len(value))
            parts = call.statement.parts if call.statement else ()
            is_itemwise = type(value) is list and any(part.is_itemwise for part in parts)
            for k, item in enumerate(value[:MOST_ITEMS] if is_itemwise else ()):
                if type(item) is np.ndarray and not [*self.memory.where(item)]:
                    self._keep_array(f"{load.text}[{k}]", item, call)
        elif type(value) is np.ndarray and not [*self.memory.where(value)]:
            self._keep_array(load.text, value, call)

    def _keep_array(self, text: str, value: Array, call: Call) -> None:
        if (known := self._copied(value)) is not None:
            call.constants[text] = known

    def _copied(self, value: Any) -> Array | None:
        """Return a copy of an array that was not recorded, unless it is large."""
        if type(value) is not np.ndarray or value.size > LARGEST_PART:
            return None
        known = self._copies.get(id(value))
        if known is None or not np.array_equal(known, value):
            self._copies[id(value)] = known = value.copy()
            self._n_bytes += value.nbytes
        return known

    def _in_container(
        self, call: Call, load: Reference, container: Any, path: tuple[Any, ...], k: int
    ) -> int:
        """Return by which name a value was put in a container, here or in what has passed it on."""
        label = load.text + "".join(f"[{key!r}]" for key in path)
        named = self._last.get((call.number, label))
        if named is not None and self.bound[named].alias_of == k:
            return named
        is_argument = id(container) in call.arguments and len(self.calls) > 1
        return self._renamed.get((self.calls[-2 if is_argument else -1].number, k), k)

    def _where_item(self, load: Reference, names: Names, value: Any) -> list[int]:
        """Return what was recorded of the array of which a number is an entry."""
        holder, last = load.owner_in(names)
        is_entry = isinstance(value, np.floating) and isinstance(holder, np.ndarray)
        return list(self.memory.where(holder)) if is_entry and last is not None else []

    def _part(self, call: Call, load: Reference, names: Names, leaf: Any, whole: list[int]) -> int:
        """Record the part of an array that a statement reads, unless it was read before."""
        statement = call.statement
        known = self._parts.get((call.number, load.text))
        array = as_numpy(leaf)
        value = array.reshape(-1).copy()
        if known is not None and [*known.reads] == whole and np.array_equal(known.value, value):
            return known.index
        if statement is None or not self._has_room(value.nbytes):
            return whole[0]
        reads = dict.fromkeys(whole, Read())
        name = load.last_name_in(names)
        new = Bound(statement, load.text, name, reads, call.number, call.callers)
        new.is_part, new.alias_of, new.value, new.shape = True, whole[0], value, array.shape
        new.is_tensor, new.is_complex = is_tensor(leaf), is_complex(leaf)
        entry = load.entry_in(names) if isinstance(leaf, np.generic) else leaf
        new.memory = _place_in_memory(as_array(entry))
        new.index = len(self.bound)
        self.bound.append(new)
        self._parts[call.number, load.text] = new
        return new.index

    def ended(self, call: Call, frame: FrameType, returned: Any) -> None:
        """Record what the statement has bound."""
        statement = call.statement
        if statement is None:
            return
        self._n_ended[statement] += 1
        names = names_in(frame)
        for k, part in enumerate(statement.parts):
            has_place = part.is_itemwise and not part.calls_for_items
            places = call.returned.items()
            reads = {index: Read(path if has_place else ()) for index, path in places}
            reads.update(call.reads[k] if k < len(call.reads) else {})
            found = list(leaves(bound_value(part, names, returned)))
            if part.target is not None and not found:
                self._unrecorded[call.number, part.target.text] = statement
            for path, leaf in found:
                new = self._bound_by(call, statement, part, path, names)
                new.reads = _of_item(reads, part, path)
                self._record(call, part, new, leaf)
        call.returned.clear()
        call.passed_on.clear()
        if statement.is_return and self.calls and self.calls[-1] is call:
            above = self.calls[-2] if len(self.calls) > 1 else self._library
            own = statement.function
            for path, leaf in leaves(returned):
                latest = self._latest(leaf, call)
                above.returned.update(dict.fromkeys(latest, path))
                made = [self.bound[self.bound[k].alias_of or k].statement.function for k in latest]
                others = [k for k, where in zip(latest, made, strict=True) if where != own]
                above.passed_on |= dict.fromkeys(others, statement)

    def _bound_by(
        self, call: Call, statement: Statement, part: Part, path: tuple[Any, ...], names: Names
    ) -> Bound:
        """Return what a part of a statement has bound, still without its value."""
        label, name = labelled(part, path, names)
        new = Bound(statement, label, name, {}, call.number, call.callers)
        holder, last = part.target.owner_in(names) if part.target else (None, None)
        if last is not None and last[0] == "attribute" and not path:
            new.owner = id(holder)
            self._owners.append(holder)
        # What a dict has got from another one is the same as before.
        is_own = not path or part.is_last
        new.changes = is_own and (part.changes or (part.is_item and as_array(holder) is not None))
        k = statement.parts.index(part)
        new.before = call.before[k] if new.changes and k < len(call.before) else None
        new.is_name, new.is_zero = part.is_name, part.is_zero and not new.changes
        new.ran, new.constants = self._n_ended[statement], call.constants
        new.binders = tuple(call.binders)
        new.at_hand = call.at_hand
        new.place = new.ran, k, path
        return new

    def _record(self, call: Call, part: Part, new: Bound, leaf: Any) -> None:
        """Record what was bound, unless it is known and has no new name."""
        before = None if new.changes else self.memory.index_of(leaf)
        if before is not None:
            # A new name for what is known; what a function only hands on is its argument.
            is_handed_on = part.is_name and id(leaf) in call.arguments
            is_result = part.target is None and call.is_callback and is_foreign(leaf)
            if part.target is None and not (is_handed_on or is_result):
                return
            # What a library gets is no new name.
            new.is_name &= not is_result
            if not part.is_name:
                read = [k for k in (*new.reads, *call.returned) if k != before]
                same = [k for k in read if self.bound[k].alias_of == before]
                new.reads = dict.fromkeys(same[-1:] or [before], Read())
                new.passed_on = tuple(call.passed_on[k] for k in new.reads if k in call.passed_on)
        self.keep(new, leaf, before)

    def keep(self, new: Bound, leaf: Any, before: int | None = None) -> None:
        """Add what was bound to the record, with a copy of its value if it was not there before."""
        array = as_array(leaf)
        if before is not None:
            new.value = self.bound[before].value
        else:
            if array is not None and not self._has_time(array.nbytes / COPIED_PER_SECOND):
                return
            new.value = np.array(as_numpy(leaf), order="C").reshape(-1)
        if not self._has_room(0 if before is not None else new.value.nbytes):
            return
        new.index, new.alias_of = len(self.bound), before
        new.shape = () if array is None else array.shape
        new.is_tensor, new.is_complex = is_tensor(leaf), is_complex(leaf)
        new.memory = _place_in_memory(array)
        self.bound.append(new)
        self._replace(new, array if before is None else None)
        if before is None:
            self.memory.add(leaf, new.index)
        else:
            self._renamed[new.call, before] = new.index

    def _has_room(self, n_bytes: int) -> bool:
        """Return True if another value may be recorded; otherwise, record no further."""
        self._n_bytes += 2 * n_bytes
        if len(self.bound) >= MOST_VALUES or self._n_bytes > MOST_RECORDED_BYTES:
            self.stop("it binds too many arrays to keep a copy of each")
            return False
        if math.isfinite(self._share) and self._n_bytes > BYTES_ON_THE_SIDE:
            # Memory that was not used before makes the cell's own operations slower.
            self.stop(TOO_SLOW)
            return False
        return True

    def _latest(self, leaf: Any, call: Call) -> list[int]:
        """Return what was recorded of a value that a call returns, by its last name there."""
        where = list(self.memory.where(leaf))
        last = self.bound[-1] if self.bound else None
        if last is not None and last.statement.is_return and last.alias_of in where:
            return [last.index]
        return [self._renamed.get((call.number, k), k) for k in where]

    def _replace(self, new: Bound, array: Array | None) -> None:
        """Note which values the new one has taken the place of: of the same name, or memory."""
        key = (new.owner or new.call, new.label)
        last = self._last.get(key) if new.label else None
        if last is not None and new.owner and not new.is_zero:
            known = {k for read in new.reads for k in (read, self.bound[read].alias_of)}
            new.overwrites = last not in known and bool(np.any(self.bound[last].value))
        before = {last}
        if array is not None:
            before |= self.memory.overlapping(array)
        for read in new.reads:
            if read in before or (self.bound[read].alias_of or -1) in before:
                self.bound[read].replaced_by = new.index
        self._last[key] = new.index


def _place_in_memory(array: Array | None) -> tuple[int, tuple[int, ...]] | None:
    if array is None:
        return None
    start: int = array.__array_interface__["data"][0]
    return start, array.strides


def bound_value(part: Part, names: Names, returned: Any) -> Any:
    """Return the value that a part of a statement has just bound."""
    value = returned if part.target is None else part.target.value_in(names)
    if part.target is not None and isinstance(value, np.generic):
        # That of an array is found again by its memory.
        entry = part.target.entry_in(names)
        value = value if entry is NOWHERE else entry
    for key in part.path:
        value = _item(value, key)
    if part.is_last:
        value = value[-1] if type(value) is list and value else NOWHERE
    return value


def _loaded(part: Part, names: Names) -> tuple[Reference, ...]:
    """Return what a part reads: of an array of which it changes scattered entries, the array."""
    if part.is_item and part.target is not None:
        holder, _ = part.target.owner_in(names)
        if as_array(holder) is not None and part.target.value_in(names) is holder:
            return (part.target, *part.loads)
    return part.loads


def _item(value: Any, key: Any) -> Any:
    try:
        return value[key] if type(value) in {tuple, list, dict} else NOWHERE
    except (LookupError, TypeError):
        return NOWHERE


def _of_item(reads: Reads, part: Part, path: tuple[Any, ...]) -> Reads:
    """Return what an item of a list is made from, if each is made from the items in its place."""
    if not (part.is_itemwise and path):
        return reads
    return {
        k: read._replace(path=()) for k, read in reads.items() if read.path[:1] in {(), path[:1]}
    }


def labelled(part: Part, path: tuple[Any, ...], names: Names) -> tuple[str, str]:
    """Return what a value is called, and the last name in it."""
    keys = [*part.path, *path]
    label = "" if part.target is None else part.target.text
    name = "" if part.target is None else part.target.last_name_in(names)
    for key in keys:
        if isinstance(key, str):
            name = key
        label += f"[{key!r}]" if label else ""
    if not label:
        label = next((k for k in reversed(keys) if isinstance(k, str)), "")
    if part.target is None and not name and len(part.loads) == 1 and part.is_name:
        # The variable that a function returns.
        label, name = part.loads[0].text, part.loads[0].last_name_in(names)
    return label, name

"""Signals, such as Ctrl-C, reach the user's code at once, and are held back otherwise."""

# ruff: noqa: PT012 (it is the end of the guard that raises)

import bdb
import os
import signal
import threading
from contextlib import ExitStack, contextmanager

import pytest

from gradcheck_magic._cost.interrupt import FromOutside, InterruptGuard

WITHOUT_ALARM = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no alarm")


class LimitError(Exception):
    """The exception of a time limit."""


def limit(*_):
    raise LimitError("the time is over")


def press():
    """Press Ctrl-C: the handler runs before the next line."""
    signal.raise_signal(signal.SIGINT)


def ring():
    """Let the alarm go off, as a time limit does."""
    signal.raise_signal(signal.SIGALRM)


@pytest.fixture(autouse=True)
def handler():
    """Make sure that every test leaves the handler as it was."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    found = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert found is signal.default_int_handler


@contextmanager
def handled(by, number=None):
    """Handle a signal, the alarm if none is given, and see that the handler stays."""
    number = signal.SIGALRM if number is None else number
    before = signal.signal(number, by)
    try:
        yield
        assert signal.getsignal(number) is by
    finally:
        signal.signal(number, before)


def test_held_back_until_the_end():
    guard = InterruptGuard().__enter__()
    press()
    assert guard.pending
    with pytest.raises(KeyboardInterrupt):
        guard.__exit__(None, None, None)
    assert not guard.pending


def test_held_back_until_it_is_released():
    with InterruptGuard() as guard:
        press()
        with pytest.raises(KeyboardInterrupt):
            guard.release()
        guard.release()


def test_nothing_is_raised_unpressed():
    with InterruptGuard() as guard:
        guard.release()
        assert not guard.pending


def test_passed_on_while_open():
    """Only one is passed on: the next is held back, so that restoring is not interrupted."""
    with InterruptGuard() as guard:
        guard.open = True
        with pytest.raises(KeyboardInterrupt):
            press()
        assert (guard.open, guard.pending) == (False, [])
        press()
        assert guard.pending
        guard.pending.clear()


def test_another_error_comes_first():
    """A held-back interrupt does not replace the other error: there is nothing left to stop."""
    guard = InterruptGuard().__enter__()
    press()
    guard.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert not guard.pending


@pytest.mark.parametrize("is_open", [False, True])
def test_one_within_another(is_open):
    """The inner guard is in charge; what it passes on reaches the handler outside both."""
    with InterruptGuard() as outer:
        with InterruptGuard() as inner:
            inner.open = is_open
            if is_open:
                with pytest.raises(KeyboardInterrupt):
                    press()
            else:
                press()
            assert (bool(inner.pending), outer.pending) == (not is_open, [])
            inner.pending.clear()
        press()
        assert outer.pending
        outer.pending.clear()


def test_what_the_outer_one_holds_back_is_taken_over():
    """The inner one may release it; at its end, it gives back what it still holds."""
    with pytest.raises(KeyboardInterrupt), InterruptGuard() as outer:
        press()
        with InterruptGuard() as inner:
            assert (inner.pending, outer.pending) == ([signal.SIGINT], [])
            with pytest.raises(KeyboardInterrupt):
                inner.release()
            press()
        assert (inner.pending, outer.pending) == ([], [signal.SIGINT])


def test_own_handler_of_the_user():
    """It is called once the user's function runs, or once it may raise; it need not raise."""
    calls = []

    def own(*_):
        calls.append("user")

    with handled(own, signal.SIGINT), InterruptGuard() as guard:
        guard.call(press)
        assert calls == ["user"]
        press()
        assert calls == ["user"]
        guard.release()
        assert calls == ["user", "user"]


def test_a_handler_that_raises_nothing_leaves_the_guard_open():
    calls = []

    def twice():
        press()
        press()
        return "the value"

    with handled(lambda *_: calls.append(1), signal.SIGINT), InterruptGuard() as guard:
        assert guard.call(twice) == "the value"
    assert calls == [1, 1]


def test_ignored(handler):
    """If the user ignores interrupts, they are still ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with InterruptGuard() as guard:
        press()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert not guard.pending
    signal.signal(signal.SIGINT, handler)


def test_in_another_thread(handler):
    """In a thread that cannot set signal handlers, nothing is done."""
    seen = []

    def enter():
        with InterruptGuard():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [handler]


def test_another_handler_of_ctrl_c():
    """Ctrl-C raises KeyboardInterrupt, whatever the kernel does with it between two cells."""
    calls = []
    with (
        handled(lambda *_: calls.append("kernel"), signal.SIGINT),
        InterruptGuard(signal.default_int_handler),
    ):
        with InterruptGuard() as inner, pytest.raises(KeyboardInterrupt):
            inner.call(press)
        assert calls == []


# Other signals, and whatever their handlers raise


@WITHOUT_ALARM
class TestTimeLimit:
    """A time limit is a signal as well: nothing of ours catches what its handler raises."""

    def test_held_back_until_the_end(self):
        with handled(limit):
            with pytest.raises(LimitError) as raised, InterruptGuard():
                ring()
                reached = True
            assert reached
            assert raised.value.__context__ is None

    @pytest.mark.parametrize("when", ["while it runs", "before"])
    def test_nothing_catches_it(self, when):
        """Outside the guard, it is the very exception, with the cause and the context it had."""
        errors = []

        def function():
            try:
                ring()
            except LimitError as error:
                raise LookupError("what the user's function makes of it") from error

        with handled(limit):
            with (
                pytest.raises(Exception, match=r"user's|time") as raised,
                InterruptGuard() as guard,
            ):
                try:
                    if when == "before":
                        ring()
                        guard.release()
                    guard.call(function)
                except Exception as error:  # noqa: BLE001 (that is the point)
                    errors.append(error)
            error = raised.value
            if when == "while it runs":
                assert type(error) is LookupError
                assert type(error.__cause__) is type(error.__context__) is LimitError
            else:
                assert (type(error), error.__context__) == (LimitError, None)
            assert not errors

    def test_what_the_function_catches_is_its_own(self):
        def patient():
            try:
                ring()
            except LimitError:
                return "in time"

        with handled(limit), InterruptGuard() as guard:
            assert guard.call(patient) == "in time"
            with pytest.raises(ZeroDivisionError):
                guard.call(lambda: 1 / 0)

    def test_in_a_check_that_the_function_makes(self):
        """What has ended the inner check says nothing about the outer function either."""

        def function():
            with InterruptGuard() as inner:
                inner.call(ring)

        with handled(limit), pytest.raises(LimitError), InterruptGuard() as guard:
            with pytest.raises(BaseException, match="over") as raised:
                guard.call(function)
            assert raised.type is FromOutside
            raise raised.value

    def test_two_signals(self):
        """Both handlers are called, whatever the first one raises."""
        calls = []
        with handled(limit), handled(lambda *_: calls.append(1), signal.SIGUSR1):
            with pytest.raises(LimitError), InterruptGuard():
                ring()
                signal.raise_signal(signal.SIGUSR1)
            assert calls == [1]

    def test_in_an_exit_stack(self):
        with handled(limit), pytest.raises(LimitError) as raised, ExitStack() as stack:
            guard = stack.enter_context(InterruptGuard())
            guard.call(ring)
        assert raised.value.__context__ is None

    def test_handler_that_the_function_sets_stays(self):
        """A function may limit its own time, and may leave that limit in place."""

        def limits_itself():
            signal.signal(signal.SIGALRM, theirs)

        def theirs(*_):
            raise TimeoutError

        before = signal.signal(signal.SIGALRM, limit)
        try:
            with InterruptGuard(), InterruptGuard() as guard:
                guard.call(limits_itself)
            assert signal.getsignal(signal.SIGALRM) is theirs
        finally:
            signal.signal(signal.SIGALRM, before)

    def test_ours_that_the_user_keeps_changes_nothing(self):
        """Of two libraries that set handlers, each may put back what it found, in any order."""
        with handled(limit):
            with InterruptGuard():
                ours = signal.getsignal(signal.SIGALRM)
            with pytest.raises(LimitError):
                ours(signal.SIGALRM, None)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
    def test_in_a_forked_process(self, monkeypatch):
        """The worker of a pool is ended by a signal, which its handlers must hear of."""
        calls = []
        with handled(lambda *_: calls.append(1)), InterruptGuard() as guard:
            with monkeypatch.context() as patch:
                patch.setattr(os, "getpid", lambda: -1)
                ring()
                assert calls == [1]
                press()
            guard.pending.clear()

    @pytest.mark.parametrize("place", ["entering", "leaving"])
    def test_handlers_are_put_back_whatever_happens(self, place, monkeypatch, handler):
        """A signal may come between two of the calls that set the handlers."""
        set_handler, n_set = signal.signal, []

        def and_ring(number, by):
            before = set_handler(number, by)
            is_ours = isinstance(getattr(by, "__self__", None), InterruptGuard)
            if number == signal.SIGINT and is_ours == (place == "entering") and not n_set:
                n_set.append(1)
                ring()
            return before

        with handled(limit):
            monkeypatch.setattr(signal, "signal", and_ring)
            with pytest.raises(LimitError), InterruptGuard():
                assert place == "leaving"
            monkeypatch.undo()
            assert signal.getsignal(signal.SIGINT) is handler
        assert n_set


@pytest.mark.parametrize(
    ("error", "comes_from_outside"),
    [
        (TimeoutError(), True),
        (type("FunctionTimedOut", (Exception,), {})(), True),
        (type("TimeLimitExceeded", (Exception,), {})(), True),
        (type("Mine", (TimeoutError,), {})(), True),
        (bdb.BdbQuit(), True),
        (ZeroDivisionError(), False),
        (ValueError("timeout"), False),
    ],
)
def test_errors_that_say_nothing_about_the_cost(error, comes_from_outside):
    """They are recognised by their names, and pass through as well."""

    def function():
        raise error

    with pytest.raises(type(error)), InterruptGuard() as guard:
        with pytest.raises(FromOutside if comes_from_outside else type(error)) as raised:
            guard.call(function)
        raise raised.value

"""Ctrl-C takes effect while the user's function runs, and is held back otherwise."""

import signal
import threading

import pytest

from gradcheck_magic._cost.interrupt import InterruptGuard, interrupts_raised


def press():
    """Press Ctrl-C: the handler runs before the next line."""
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handler():
    """Make sure that every test leaves the handler as it was."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    found = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert found is signal.default_int_handler


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
        assert (guard.open, guard.pending) == (False, False)
        press()
        assert guard.pending
        guard.pending = False


def test_another_error_comes_first():
    """The held-back interrupt does not replace the other error."""
    guard = InterruptGuard().__enter__()
    press()
    guard.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert guard.pending


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
            assert (inner.pending, outer.pending) == (not is_open, False)
            inner.pending = False
        press()
        assert outer.pending
        outer.pending = False


def test_what_the_outer_one_holds_back_is_taken_over():
    with InterruptGuard() as outer:
        press()
        with pytest.raises(KeyboardInterrupt), InterruptGuard() as inner:
            assert (inner.pending, outer.pending) == (True, False)


def test_own_handler_of_the_user(handler):
    calls = []
    signal.signal(signal.SIGINT, lambda *_: calls.append("user"))
    with InterruptGuard() as guard:
        guard.open = True
        press()
    assert calls == ["user"]
    assert not guard.pending
    signal.signal(signal.SIGINT, handler)


def test_ignored(handler):
    """If the user ignores interrupts, they are still ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with InterruptGuard() as guard:
        press()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert not guard.pending
    signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("guard", [InterruptGuard, interrupts_raised])
def test_in_another_thread(guard, handler):
    """In a thread that cannot set signal handlers, nothing is done."""
    seen = []

    def enter():
        with guard():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [handler]


def test_interrupts_raised(handler):
    """Ctrl-C raises KeyboardInterrupt, whatever the kernel does with it between two cells."""
    calls = []

    def own(*_):
        calls.append("kernel")

    signal.signal(signal.SIGINT, own)
    with pytest.raises(KeyboardInterrupt), interrupts_raised():
        press()
    assert signal.getsignal(signal.SIGINT) is own
    assert calls == []
    signal.signal(signal.SIGINT, handler)

"""A long check shows progress, can be interrupted, and leaves the parameters as they were."""

import io
import math
import signal
import threading

import numpy as np
import pytest
from IPython.utils.capture import capture_output

from gradcheck_magic import GradientCheckInterrupted, Verdict, check_gradients
from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._report.figures import histogram

N = 40


def interrupt():
    """Press Ctrl-C: the interrupt comes in the next call, or in this very line."""
    signal.raise_signal(signal.SIGINT)


def interrupting_cost(W, at):
    """Return a cost that reads the notebook's `W`, with Ctrl-C at the given evaluation."""
    calls = []

    def cost():
        calls.append(None)
        if len(calls) == at:
            interrupt()
        return float(W @ W)

    return cost


@pytest.mark.parametrize("at", [1, 2, 5, 20, 33, 34, 60])
def test_restored_and_partial(at):
    """The interrupt may come before the pass or on either side of an entry."""
    W = np.linspace(1, 2, N)
    before = W.tobytes()
    with pytest.raises(GradientCheckInterrupted) as error:
        check_gradients([W], [2 * W], interrupting_cost(W, at))
    assert W.tobytes() == before
    partial = error.value.check
    assert partial.interrupted
    assert partial.verdict is Verdict.INCONCLUSIVE
    assert partial.n_measured == len(partial.numerical) < partial.size == N
    assert partial.numerical == pytest.approx(2 * W[: partial.n_measured], rel=1e-6)
    verb = "was" if partial.n_measured == 1 else "were"
    assert f"{partial.n_measured} of 40 entries {verb} measured." in partial.reasons[0]
    assert f"{partial.n_measured} of 40 entries measured" in str(partial)


def test_nothing_measured():
    """No difference is 0, and no noise known, before anything has been measured."""
    W = np.linspace(1, 2, N)
    with pytest.raises(GradientCheckInterrupted) as error:
        check_gradients([W], [2 * W], interrupting_cost(W, 2))
    partial = error.value.check
    assert math.isnan(partial.difference)
    assert math.isnan(partial.parameters[0].difference)
    page = partial.to_html()
    assert "gc-pointer" not in page
    assert "cost" not in page.partition("2 evaluations")[2]
    assert histogram(partial).axes[0].get_ylim() == (0, 1)


def test_what_was_wrong_by_then_is_a_bug():
    W = np.linspace(1, 2, N)
    wrong = 2 * W
    wrong[3] *= 2
    with pytest.raises(GradientCheckInterrupted) as error:
        check_gradients([W], [wrong], interrupting_cost(W, 60))
    assert error.value.check.verdict is Verdict.BUG
    assert error.value.check.wrong_entries == (("params[0]", (3,)),)


def test_at_any_time():
    """Interrupts come from outside, at arbitrary times."""
    W = np.linspace(1, 2, 4000)
    before = W.tobytes()
    handler = signal.getsignal(signal.SIGINT)
    interrupted = 0
    for attempt in range(40):
        timer = threading.Timer(0.0005 * attempt, interrupt)
        try:
            timer.start()
            check_gradients([W], [2 * W], lambda: float(W @ W))
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            try:
                timer.join()
            except KeyboardInterrupt:
                interrupted += 1
        assert W.tobytes() == before
        assert signal.getsignal(signal.SIGINT) is handler
    assert interrupted == 40


def test_guard_holds_back():
    """Our own code is never interrupted; the interrupt is raised afterwards."""
    reached = []
    with pytest.raises(KeyboardInterrupt), InterruptGuard() as guard:  # noqa: PT012
        interrupt()
        interrupt()
        reached.append(bool(guard.pending))
    assert reached == [True]


def test_guard_lets_through():
    with InterruptGuard() as guard:
        guard.open = True
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        guard.open = False


def test_users_own_handler_is_called():
    """If the user's handler does not raise, the check continues."""
    seen = []
    W = np.ones(3)
    previous = signal.signal(signal.SIGINT, lambda *_: seen.append(True))
    calls = []

    def cost(params):
        calls.append(None)
        if len(calls) == 15:
            interrupt()
        return float(params[0] @ params[0])

    try:
        assert check_gradients([W], [2 * W], cost).passed
    finally:
        signal.signal(signal.SIGINT, previous)
    assert seen == [True]


def test_in_another_thread():
    """In another thread signals never arrive, and the check works as usual."""
    results = []
    W = np.ones(3)
    thread = threading.Thread(
        target=lambda: results.append(check_gradients([W], [2 * W], lambda p: float(p[0] @ p[0])))
    )
    thread.start()
    thread.join()
    assert results[0].passed


def test_magic(shell):
    """The partial result is shown and stored, one line is raised, and later code does not run."""
    W = np.linspace(1, 2, N)
    shell.user_ns.update(params=[W], grads=[2 * W], cost_function=interrupting_cost(W, 60))
    with capture_output() as captured:
        result = shell.run_cell("%gradcheck -o mine\nafter = True")
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    partial = shell.user_ns["_gradcheck"]
    assert shell.user_ns["mine"] is partial
    assert partial.interrupted
    assert "after" not in shell.user_ns
    assert "? The finite differences cannot tell." in captured.stdout
    assert captured.stdout.strip().splitlines()[-1] == (
        f"Gradient check interrupted: {partial.n_measured} of 40 entries were checked; the "
        "parameters are as they were before."
    )


# The time of an evaluation after which progress is reported at once.
LONG = 1 / 64


def square(params):
    return float(params[0] @ params[0])


def test_progress(clock):
    """Progress counts all evaluations, even those for no entry, and ends at the expected number."""
    seen = []
    check = check_gradients([np.ones(3)], [2 * np.ones(3)], clock.slow(square, LONG),
                            progress=lambda *state: seen.append(state))  # fmt: skip
    done, expected, seconds = zip(*seen, strict=True)
    assert list(done) == sorted(set(done))
    assert done[-3:] == (expected[-1] - 3, expected[-1] - 1, expected[-1])
    assert done[-1] == check.n_evaluations
    assert seconds == tuple(LONG * n for n in done)


def test_between_two_evaluations(clock):
    """An interrupt in our own code ends the check at the next entry, not at the end."""

    def progress(done, expected, _):
        if expected > 2 * N and done == expected - 1 - 2 * (N - 3):
            interrupt()

    W = np.linspace(1, 2, N)
    with pytest.raises(GradientCheckInterrupted) as error:
        check_gradients([W], [2 * W], clock.slow(square, LONG), progress=progress)
    assert error.value.check.n_measured == 3


def test_after_the_last_entry():
    """Everything was measured, so the verdict is the usual one."""

    def progress(done, total, _):
        if done == total:
            interrupt()

    W = np.linspace(1, 2, N)
    with pytest.raises(GradientCheckInterrupted) as error:
        check_gradients([W], [2 * W], square, progress=progress)
    assert error.value.check.verdict is Verdict.CORRECT
    assert not error.value.check.interrupted


def test_guard_closes_with_the_first_interrupt():
    """The code that runs next is ours: it restores the parameters."""
    with InterruptGuard() as guard:
        guard.open = True
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        assert not guard.open


def test_progress_in_a_terminal(shell, clock, monkeypatch):
    """A slow check overwrites one line while it runs."""
    err = io.StringIO()
    monkeypatch.setattr(err, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", err)

    W = np.linspace(1, 2, 25)
    shell.user_ns.update(params=[W], grads=[2 * W], cost_function=clock.slow(square, LONG))
    shell.run_cell("%gradcheck -q").raise_error()
    assert "per second, about" in err.getvalue()
    assert err.getvalue().endswith("\r")

"""The magics `%gradcheck` and `%%gradcheck`: a line of options in, a `GradientCheck` out."""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from numpy.typing import NDArray
from traitlets import Any as Anything
from traitlets import Bool, Float, Int, Union
from traitlets.config import Config

from gradcheck_magic._backward.find import Recording
from gradcheck_magic._backward.record import Recorder
from gradcheck_magic._cost.filled import filled, filled_gradient
from gradcheck_magic._cost.frames import release_frames
from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._cost.random_states import RandomStates, StatesOfCell
from gradcheck_magic._cost.written import Available, Filled
from gradcheck_magic._inputs.pairing import Undefined
from gradcheck_magic._inputs.parameters import Mentioned, collect, readable_key
from gradcheck_magic._inputs.request import Progress, Standing
from gradcheck_magic._measure.step_curve import curve_of
from gradcheck_magic._notebook.cells import (
    CellEvents,
    WaitingCells,
    called_in_notebook,
    displayed_once,
    holding_cells,
    require_no_other_cell,
    run_body,
    show_from_user_code,
)
from gradcheck_magic._notebook.completion import completer
from gradcheck_magic._notebook.controls import Requests
from gradcheck_magic._notebook.live_card import LiveCards, WidgetCard, latest
from gradcheck_magic._notebook.option_line import read_options
from gradcheck_magic._notebook.options import NOT_COMPILED, SETTINGS, described
from gradcheck_magic._notebook.plain_cards import (
    Published,
    StaticCard,
    TextCard,
    outputs_stand_alone,
    say,
)
from gradcheck_magic._notebook.project import Project, read_project
from gradcheck_magic._notebook.snapshot import MOST_BYTES, roots
from gradcheck_magic._notebook.watch import News, Watch, subject_of
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.step_curve import StepCurve
from gradcheck_magic._wording import did_you_mean, first_line, quoted
from gradcheck_magic.check import Seen, check_after_cell
from gradcheck_magic.errors import GradientCheckError, GradientCheckInterrupted, InputError

__all__ = ["SHARE", "GradcheckMagics", "load", "unload"]

RESULT = "_gradcheck"
TURN_ON = "%config GradcheckMagics.enabled = True turns it on"
# The part of the time of a cell that recording what it computes may take, unless it is asked for.
SHARE = 0.03
# Names of the shell, which nobody means.
NOT_MEANT = {"In", "Out", "open", "exit", "quit", "get_ipython"}
# Values of the environment variable CI that mean that this is no CI.
NOT_CI = {"", "0", "false", "no", "off"}
# At most this many checks are remembered, each of another gradient.
MOST_REMEMBERED = 8
# The line of a cell magic; what follows is Python.
CELL_MAGIC = re.compile(r"\A\s*%%.*\n?")
# A statement that is only timed.
TIMED = re.compile(r"^(\s*)%time\s+", re.MULTILINE)
Namespace = dict[str, Any]
Card = TextCard | StaticCard

HELP = """
Check a backpropagated gradient against central differences of the cost.

As a cell magic, it runs the cell first. Then it takes `params`, `grads` and
`cost_function` from the notebook, and shows a card that says if the gradient is
correct and, if it is not, what is wrong and where:

    %%gradcheck
    grads = backward(params, X, Y)

As a line magic, it does the same without a cell. The result, a `GradientCheck`,
is bound to `_gradcheck`. Other names and options:

    %gradcheck -p parameters -g gradients -c compute_cost
    %gradcheck -p [W1, b1] -g [dW1, db1] -c "lambda W1, b1: cost(W1, b1, X, Y)"
    %gradcheck --only W2 b2 -o check
    %gradcheck -c conv_forward -p [x, w] -g [dx, dw] --upstream dout
    %gradcheck -g "lambda params: backward(params, X, Y)" --points 5
    %gradcheck --mode scan --budget 60
    %gradcheck --strict  # and a comment
    %gradcheck --watch

`cost_function` may take `params` as it is, the flat vector of all parameters,
the arrays one by one, or nothing at all. In the last case it reads the
notebook's own arrays, which are changed in place and restored bit for bit. Its
other arguments are those of the call in the cell, or variables of their names:

    %%gradcheck -p W -c svm_loss
    loss, grads = svm_loss(W, X, y, reg)

It may also be a number that the cell computes, such as `loss`. Leave `-g` out
if the cost returns the gradients, or if the objects in `params` hold them. If
it returns many numbers, such as residuals, give their Jacobian as `grads`.

Put a value with spaces in quotes, unless it is in brackets already. Put a value
that begins with `-` and a letter in quotes, or write it after `=`.

Set other defaults for a notebook with `%config`, and for a project in the table
`[tool.gradcheck_magic]` of its `pyproject.toml`:

    %config GradcheckMagics.strict = "ci"
    %config GradcheckMagics.enabled = False

In Python, `gradcheck_magic.check_gradients` makes the same check; its docstring
explains the options in more detail.
"""


def _help(project: Project) -> str:
    """Return what `%gradcheck?` shows, with the defaults of a project."""
    return f"{HELP}{project.described()}\nOptions:\n\n{described()}"


@magics_class
class GradcheckMagics(Magics):
    """The gradient check as a magic, with defaults from ``%config GradcheckMagics``."""

    shell: InteractiveShell

    enabled: bool
    params: str
    # They accept anything: `%config` only logs the values that a trait refuses, and a check in CI
    # would silently not be strict. `options_of` raises an error instead.
    vars().update(
        {
            option.name: Union(
                [Int(), Float(), Bool(), Anything()],
                default_value=option.default,
                help=option.help,
            ).tag(config=True)
            for option in SETTINGS.values()
        }
    )

    def __init__(self, shell: InteractiveShell, project: Project) -> None:
        config = Config({type(self).__name__: dict(project.options)})
        # The user's own configuration overrides that of the project.
        config.merge(shell.config)
        super().__init__(shell=shell, config=config)
        self._live = LiveCards()
        self._cells = CellEvents(shell, self._after_cell)
        self._watch: Watch | None = None
        self._is_retired = False
        # What has happened in the cell that is running: its gradient may be that of θ before.
        self._seen: Seen | None = None
        # The variables before that cell, and its code.
        self._before: tuple[Namespace, str | None] = {}, None
        # The random states before each of its statements, if random states are to be put back.
        self._states: list[RandomStates] = []
        # The last check of each gradient, in memory only. The next check says what has changed
        # since, and recognises a gradient that was correct then.
        self._last: dict[tuple[str | None, ...], GradientCheck] = {}
        self._completer = completer(shell, lambda: self.params)
        shell.Completer.custom_matchers.append(self._completer)
        self._waiting = WaitingCells(shell)
        self._waiting.follow()

    @line_cell_magic
    @no_var_expand
    @needs_local_scope
    def gradcheck(
        self, line: str, cell: str | None = None, local_ns: Namespace | None = None
    ) -> None:
        """Check a gradient. The user reads HELP instead of this docstring."""
        user_ns = self.shell.user_ns
        last = user_ns.get(RESULT)
        try:
            with InterruptGuard():
                # Unbind the old result first, so that after an error nobody takes it for the new
                # one.
                self._bind(None)
                options = self.options_of(line)
                if options.unwatch:
                    self._bind(last)
                    self._unwatch()
                elif self.enabled:
                    require_no_other_cell()
            if cell is not None:
                self._seen = self._run(cell, options)
            namespace = user_ns
            if local_ns is not None and local_ns is not user_ns:  # inside a function
                namespace = {**user_ns, **local_ns}
            if not options.unwatch:
                # In a cell with `await`, a kernel lets Ctrl-C wait for the end of the check.
                in_kernel = getattr(self.shell, "kernel", None) is not None
                with InterruptGuard(signal.default_int_handler if in_kernel else None):
                    self._check_cell(options, namespace)
        except GradientCheckError as error:
            # The traceback is inside this package, so the sentence is enough.
            release_frames(error)
            raise error from None
        except BaseException as error:
            show_from_user_code(self.shell, error)
            release_frames(error)
            raise
        finally:
            self._seen, self._states = None, []
            self._before = {}, None

    def _run(self, cell: str, options: argparse.Namespace) -> Seen:
        """Run the body of a cell, and record on the side what it computes."""
        theta = _theta(options, self.shell.user_ns)
        self._before = {**self.shell.user_ns}, cell
        recorder = Recorder() if options.trace else Recorder(share=SHARE)
        after_each = None
        if options.reseed:
            states = StatesOfCell(self.shell.user_ns)
            self._states, after_each = states.taken, states.take
            states.take()
        own = run_body(self.shell, cell, recorder, after_each)
        recording = Recording(recorder.bound, recorder.obstacle)
        return Seen(theta, recording, self._place(own))

    def _place(self, own: str | None) -> Callable[[str], str]:
        """Return what tells what to call a file, given that of the cell that makes the check."""
        return partial(called_in_notebook, self.shell, own)

    gradcheck.__doc__ = _help(Project())

    def options_of(self, line: str) -> argparse.Namespace:
        """Return the options of a line, with the configured defaults."""
        options = read_options(line)
        # Without `-g`, the gradients may be elsewhere.
        usual = SETTINGS["grads"].default
        is_chosen = options.grads is not None or getattr(self, "grads", usual) != usual
        options.standing = "chosen" if is_chosen else "named"
        for name, option in SETTINGS.items():
            if getattr(options, name, None) is None:
                value = option.checked(getattr(self, name), f"`GradcheckMagics.{name}`")
                setattr(options, name, value)
        if options.watch and options.unwatch:
            raise InputError("%gradcheck: --watch and --unwatch were given together: use only one.")
        if options.watch and options.reseed:
            raise InputError(
                "%gradcheck: --watch and --reseed were given together, but later cells compute the "
                "gradient with random states that a watch does not know: use only one."
            )
        if options.strict == "ci":
            options.strict = _is_ci()
        return options

    def _check_cell(self, options: argparse.Namespace, namespace: Namespace) -> None:
        """Make the check of a cell, and start to watch if an option says so."""
        self._bind(None, options.out)
        # This cell makes its own check, so the watch skips it.
        self._cells.pass_over()
        if options.watch:
            # An invalid expression cannot be watched; the check will report it.
            with contextlib.suppress(*NOT_COMPILED):
                self._watch = Watch(options, self.shell.user_ns)
                self._cells.follow()
        if not self._is_on(options):
            print(f"gradcheck is off: {TURN_ON}.")
            return
        try:
            self._check(options, namespace)
        finally:
            if self._watch is not None:
                self._watch.remember(options, self.shell.user_ns.get(RESULT))
        if options.watch and self._watch is not None and self._watch.blind_spots:
            say(f"Watching from now on; {self._watch.blind_spots}.")

    def _is_on(self, options: argparse.Namespace) -> bool:
        """Return whether checks are made; raise an error if a strict one is not."""
        if options.strict and not self.enabled:
            raise InputError(
                f"gradcheck is off, but this check is strict: {TURN_ON}; with --no-strict, "
                "nothing is checked."
            )
        return self.enabled

    def _check(self, options: argparse.Namespace, namespace: Namespace) -> None:
        """Make a check and show it: once there is a result, no signal keeps it from being shown."""
        with InterruptGuard() as guard:
            card = self._card(options, namespace)
            check = self._checked_on(card, options, namespace, self._states)
            if not options.quiet:
                card.show(check)
            else:
                card.clear()
                if not (check.passed or options.strict):
                    say(f"{check.verdict.symbol} {check.headline()}")
            if options.strict:
                check.raise_if_failed()
            try:
                guard.release()
            except KeyboardInterrupt:
                raise GradientCheckInterrupted(check) from None

    def _checked_on(
        self,
        card: Card,
        options: argparse.Namespace,
        namespace: Namespace,
        states: list[RandomStates],
    ) -> GradientCheck:
        """Make a check with its progress on a card, which also shows how far it got if it stops."""
        try:
            return self._make_check(options, namespace, card.progress, states)
        except GradientCheckInterrupted as interrupt:
            card.show(interrupt.check)
            raise
        except BaseException:
            card.clear()
            raise

    def _make_check(
        self,
        options: argparse.Namespace,
        namespace: Namespace,
        progress: Progress | None = None,
        states: list[RandomStates] | None = None,
    ) -> GradientCheck:
        """Make a check, bind the result to its names, and return it."""
        workers, subject = options.workers, subject_of(options)
        if isinstance(workers, str):
            workers = _evaluated("workers", workers, namespace)
        arguments, called = self._arguments(options, namespace)
        # What a watch or a button checks again may be another number.
        expected = called.expected if self._before[1] is not None else None
        try:
            with holding_cells(arguments["cost_function"]), displayed_once(self.shell):
                check = check_after_cell(
                    **arguments, epsilon=options.epsilon, only=options.only, points=options.points,
                    seen=self._seen or Seen(None, None, self._place(None)), trace=options.trace,
                    progress=progress, mode=options.mode,
                    previous=self._last.get(subject), budget=options.budget, workers=workers,
                    notes=called.notes, expected=expected,
                    reseed=states or bool(options.reseed),
                )  # fmt: skip
        except GradientCheckInterrupted as interrupt:
            self._bind(interrupt.check, options.out)
            raise
        self._bind(check, options.out)
        self._last.pop(subject, None)
        remembered = [*self._last.items(), (subject, check)]
        self._last = dict(latest(remembered, MOST_REMEMBERED, lambda each: each[1].n_measured))
        return check

    def _arguments(
        self, options: argparse.Namespace, namespace: Namespace
    ) -> tuple[dict[str, Any], Filled]:
        """Return the arguments that a check and a step curve have in common, and the cost."""
        params = _evaluated("params", options.params, namespace)
        grads: object = None
        try:
            grads = _evaluated("grads", options.grads, namespace)
        except InputError as error:
            # Without it, the parameters may hold their gradients, or the cost may return them.
            if options.standing == "chosen":
                raise
            grads = Undefined(error)
        cost_function = _evaluated("cost", options.cost, namespace)
        upstream = None
        if options.upstream is not None:
            upstream = _evaluated("upstream", options.upstream, namespace)
        expressions = {options.params: params, options.grads: grads, options.cost: cost_function}
        available = self._available(options, namespace)
        names = Mentioned(namespace, expressions, lambda: available.computed.left_over)
        called = filled(cost_function, params, names, available, options.cost)
        if self._watch is not None and self._watch.options is options:
            self._watch.also_reads(called.reads)
        arguments = {
            "params": params,
            "grads": filled_gradient(grads, params, names, available, options.grads),
            "cost_function": called.function,
            "upstream": upstream,
            "names": names,
            "call": options.call,
            "seed": options.seed,
            "standing": self._standing(options, grads),
        }
        return arguments, called

    def _standing(self, options: argparse.Namespace, grads: object) -> Standing:
        """Return if the user has asked for the gradients, and if they are those of this cell."""
        before, body = self._before
        is_old = body is not None and before.get(options.grads) is grads
        standing: Standing = "old" if options.standing == "named" and is_old else options.standing
        return standing

    def _available(self, options: argparse.Namespace, namespace: Namespace) -> Available:
        """Return what a cost may be called with, and the cells that have computed it."""
        before, body = self._before
        if not hasattr(options, "cells"):
            # A watch, and the buttons of a card, call the cost as this check does.
            history = self.shell.history_manager
            cells = [] if history is None else history.input_hist_raw[1:]
            options.cells = [*map(str, cells), *([] if body is None else [body])]
        values = {name: value for name, value in namespace.items() if name not in NOT_MEANT}
        return Available(values, before, partial(self._as_python, options.cells))

    def _as_python(self, cells: Sequence[str]) -> list[str]:
        """Return the code of cells as Python, without the lines of cell magics."""
        code = (TIMED.sub(r"\1", CELL_MAGIC.sub("", cell)) for cell in cells)
        return [self.shell.transform_cell(cell).strip() for cell in code]

    def _bind(self, check: GradientCheck | None, name: str | None = None) -> None:
        """Bind a result to ``_gradcheck``, and to another name if there is one."""
        self.shell.push({RESULT: check}, interactive=False)
        if name:
            self.shell.push({name: check})

    def _card(self, options: argparse.Namespace, namespace: Namespace) -> Card:
        """Return the kind of card in the options, or the best for the front end."""
        if getattr(self.shell, "kernel", None) is None or options.display == "text":
            return TextCard(sys.stdout, sys.stderr)
        stands_alone = options.display == "auto" and outputs_stand_alone(self.shell)
        if not (stands_alone or options.display == "static"):
            # A kernel cannot open a widget if its front end has sent no message that it answers.
            with contextlib.suppress(Exception):
                return self._live_card(options, namespace)
        return StaticCard(Published)

    def _live_card(self, options: argparse.Namespace, namespace: Namespace) -> WidgetCard:
        """Return a live card, whose controls can check again and draw step curves."""
        states = self._states
        reseed: Any = states or bool(options.reseed)

        def again(mode: str, epsilon: float | None) -> None:
            require_no_other_cell()
            changed = argparse.Namespace(**{**vars(options), "mode": mode, "epsilon": epsilon})
            card.show(self._checked_on(card, changed, namespace, states))

        def curve(
            check: GradientCheck, name: str, index: tuple[int, ...], progress: Progress
        ) -> StepCurve:
            require_no_other_cell()
            arguments, _ = self._arguments(options, namespace)
            with holding_cells(arguments["cost_function"]), displayed_once(self.shell):
                return curve_of(
                    **arguments, name=name, index=index, check=check, progress=progress,
                    reseed=reseed,
                )  # fmt: skip

        requests = Requests(again, curve, options.mode, options.epsilon)
        card = WidgetCard(Published, requests)
        self._live.add(card, self.shell)
        return card

    def retire(self) -> None:
        """Close the widgets of all cards, and leave no hooks in the shell but those of a watch."""
        self._is_retired = True
        self._live.close()
        self._waiting.ignore()
        # The shell's completer may be a new one.
        with contextlib.suppress(ValueError):
            self.shell.Completer.custom_matchers.remove(self._completer)

    # The watch

    @property
    def is_watching(self) -> bool:
        """Whether later cells are watched."""
        return self._watch is not None

    def take_over(self, before: GradcheckMagics) -> None:
        """Go on with the watch of the magics that were loaded before."""
        if before.is_watching:
            self._watch, self._cells = before._watch, before._cells
            self._cells.ended = self._after_cell
            # They come after those that wait: the time for which a cell waits is not its own.
            self._cells.ignore()
            self._cells.follow()

    def _unwatch(self) -> None:
        if self._watch is None:
            print("gradcheck: nothing is being watched.")
        self._end_watch()

    def _end_watch(self) -> None:
        self._watch = None
        self._cells.ignore()

    def _end_unloaded(self) -> None:
        """End the watch of an extension that was unloaded, and say so."""
        is_strict = self._watch is not None and self._watch.options.strict
        self._end_watch()
        if self.shell.magics_manager.registry.get(type(self).__name__) is self:
            del self.shell.magics_manager.registry[type(self).__name__]
        if is_strict:
            raise InputError(
                "The extension was unloaded, which has ended its strict watch: end a watch with "
                "%gradcheck --unwatch before you unload the extension."
            )
        say("gradcheck: the extension was unloaded, which has ended its watch.")

    def _after_cell(self, seconds: float) -> None:
        """Check again if a cell has changed what the check uses, and print one line.

        If the watch is strict, the line is an error unless the gradient is correct.
        """
        if self._is_retired:
            self._end_unloaded()
            return
        if self._watch is None or not (self.enabled or self._watch.options.strict):
            return
        options = self._watch.options

        def make_check(hurried: argparse.Namespace) -> GradientCheck:
            self._is_on(hurried)
            return self._make_check(hurried, self.shell.user_ns)

        # Ctrl-C raises an exception, which it may not in a kernel after the end of a cell.
        with InterruptGuard(signal.default_int_handler) as guard:
            news = self._watch.after_cell(seconds, make_check)
            if news is not None:
                self._show_news(news, options)
            # There is nothing left for it to stop.
            with contextlib.suppress(KeyboardInterrupt):
                guard.release()

    def _show_news(self, news: News, options: argparse.Namespace) -> None:
        """Print the line of the watch; if it is strict, raise an error unless all is right."""
        self._bind(news.check, options.out)
        if options.strict and news.error is not None:
            show_from_user_code(self.shell, news.error)
            raise news.error
        if not (options.quiet and news.error is None):
            say(news.sentence)


def _theta(options: argparse.Namespace, namespace: Namespace) -> NDArray[Any] | None:
    """Return a copy of θ before the cell runs; None if it is computed, or not there yet."""
    with contextlib.suppress(Exception):
        tree = ast.parse(options.params.strip(), mode="eval").body
        if roots(tree, namespace)[1]:
            parameters = collect(_evaluated("params", options.params, namespace))
            if sum(parameter.array.nbytes for parameter in parameters.arrays) <= MOST_BYTES:
                return parameters.theta()
    return None


def _evaluated(option: str, expression: str, namespace: Namespace) -> Any:
    """Return the value of a name or an expression."""
    source = f"<--{option}>"
    try:
        code = compile(expression.strip(), source, "eval")
    except NOT_COMPILED as error:
        why = error.msg if isinstance(error, SyntaxError) else first_line(error)
        why = why or "it is nested too deeply"
        raise InputError(f"--{option} {quoted(expression)} is not an expression: {why}.") from None
    try:
        with InterruptGuard() as guard:
            guard.release()
            return guard.call(eval, (code, namespace))
    except NameError as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename != source:
            raise
        meant = did_you_mean(str(error.name), namespace.keys() - NOT_MEANT)
        raise InputError(
            f"`{readable_key(error.name)}` is not defined{meant}: assign it before the check, or "
            f"name what to use with --{option}."
        ) from None


# Loading and unloading


def _is_ci() -> bool:
    return os.environ.get("CI", "").strip().lower() not in NOT_CI


def load(shell: InteractiveShell) -> None:
    """Register the magics with the options of the project, in place of any loaded before."""
    project = read_project()
    for sentence in project.left_out:
        # Nobody reads it in CI, where the checks may have to be strict.
        if _is_ci():
            raise InputError(sentence)
        say(f"gradcheck: {sentence}")
    before = shell.magics_manager.registry.get(GradcheckMagics.__name__)
    unload(shell)
    magics = GradcheckMagics(shell, project)
    shell.register_magics(magics)
    if before is not None:
        magics.take_over(before)
    GradcheckMagics.gradcheck.__doc__ = _help(project)
    # The user's own configuration may have an invalid value.
    magics.options_of("")


def unload(shell: InteractiveShell) -> None:
    """Remove the magics and their configuration, and leave the static copies of their cards.

    A watch remains in the registry until the end of the cell: if this is a reload, it goes on.
    """
    registry = shell.magics_manager.registry
    magics = registry.get(GradcheckMagics.__name__)
    if magics in shell.configurables:
        magics.retire()
        shell.configurables.remove(magics)
        for kind in ("line", "cell"):
            shell.magics_manager.magics[kind].pop("gradcheck", None)
        if not magics.is_watching:
            del registry[GradcheckMagics.__name__]

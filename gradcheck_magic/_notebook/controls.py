"""The controls of a live card: look closer at a parameter, draw a step curve, check again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from gradcheck_magic._cost.interrupt import InterruptGuard
from gradcheck_magic._inputs.request import MODES
from gradcheck_magic._notebook.options import SETTINGS
from gradcheck_magic._report.close_up_card import close_up_card, curve_card
from gradcheck_magic._report.words import progress_text, selectable
from gradcheck_magic._result.gradient_check import GradientCheck
from gradcheck_magic._result.parameter_check import index_in
from gradcheck_magic._result.step_curve import StepCurve
from gradcheck_magic._wording import as_html, first_line, quoted
from gradcheck_magic.errors import GradientCheckError, InputError

__all__ = ["Controls", "Requests", "close"]

# At most this many entries are proposed for a step curve.
MOST_PROPOSED = 12


@dataclass(frozen=True)
class Requests:
    """The functions behind the controls, and the settings of the first check.

    `again` evaluates the expressions again, checks with a mode and a step ε, and shows the result
    in the same card. `curve` returns the step curve of one entry of a check, given the name of its
    parameter, its index, and a function for progress.
    """

    again: Callable[[str, float | None], object]
    curve: Callable[[GradientCheck, str, tuple[int, ...], Callable[..., object]], StepCurve]
    mode: str
    epsilon: float | None


class Controls:
    """The controls below a live card, in the widget `view`."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._check: GradientCheck | None = None
        self._parameter = widgets.Dropdown(description="Look closer at", **_sized("gc-choose"))
        self._mode = widgets.Dropdown(
            options=MODES, value=requests.mode, description="Mode", **_sized("gc-mode")
        )
        self._epsilon = widgets.Text(
            "" if requests.epsilon is None else f"{requests.epsilon:g}",
            description="ε",
            placeholder="automatic",
            **_sized("gc-step", "120px"),
        )
        again = _button(
            "Check again",
            "Evaluates params, grads and cost again, but does not run the cell",
            self._check_again,
        )
        settings = _row(self._mode, self._epsilon, again)
        self._check_status, self._curve_status = _Status(), _Status()
        self._closer = widgets.HTML()
        self._entry = widgets.Combobox(
            description="Entry", placeholder="such as [0, 1]", **_sized("gc-entry")
        )
        draw = _button("Draw step curve", "The error as a function of the step ε", self._draw)
        self._curve = widgets.HTML()
        # A status comes last in its row: a button that moves while it is pressed is not pressed.
        first = _row(self._parameter, settings, self._check_status)
        entry = _row(self._entry, draw, self._curve_status)
        closer = [self._closer, entry, self._curve]
        self._close_up = widgets.VBox(closer, layout={"display": "none"})
        self.view = widgets.VBox([first, self._close_up], _dom_classes=("gc-controls",))
        self._parameter.observe(self._choose, "value")

    def show(self, check: GradientCheck) -> None:
        """Show the controls for a check, and keep the parameter that was chosen before."""
        chosen = self._parameter.value
        self._check = check
        # This is the first option, as a value of None would leave the list blank.
        options = [("a parameter …", "")]
        options += [(f"{p.verdict.symbol} {p.name}", p.name) for p in selectable(check)]
        self._parameter.unobserve(self._choose, "value")
        self._parameter.options = options
        self._parameter.value = chosen if chosen in dict(options).values() else ""
        self._parameter.observe(self._choose, "value")
        self._check_status.say("")
        self._look_closer()

    def close(self) -> None:
        """Close the controls, and forget the check."""
        self._check = None
        close(self.view)

    def _choose(self, _: object) -> None:
        with self._check_status.during("Drawing …"):
            self._look_closer()

    def _look_closer(self) -> None:
        """Show the closer look at the chosen parameter, if there is one."""
        name = self._parameter.value
        self._curve.value = self._closer.value = ""
        self._curve_status.say("")
        if self._check is not None and name:
            close_up = self._check.close_up(name)
            proposed = [entry.label for entry in close_up.worst(MOST_PROPOSED)]
            # Whoever sees the closer look may press the button, which takes the entry.
            self._entry.options = proposed
            self._entry.value = next(iter(proposed), "")
            self._closer.value = close_up_card(close_up)
        self._close_up.layout.display = "" if name else "none"

    def _draw(self, _: object) -> None:
        name = self._parameter.value
        with self._curve_status.during("Evaluating …"):
            if self._check is not None and name:
                typed = self._entry.value
                index = index_in(typed, name) or _index(typed.removeprefix(name))
                curve = self._requests.curve(self._check, name, index, self._progress)
                self._curve.value = curve_card(curve)

    def _check_again(self, _: object) -> None:
        with self._check_status.during("Checking …"):
            typed = self._epsilon.value.strip()
            epsilon = SETTINGS["epsilon"].read(typed, "`ε`") if typed else None
            self._requests.again(self._mode.value, epsilon)

    def _progress(self, done: int, expected: int, seconds: float) -> None:
        self._curve_status.say(progress_text(done, expected, seconds))


class _Status(widgets.HTML):  # type: ignore[misc]
    """What a button does at present, or the error with which that has ended."""

    @contextmanager
    def during(self, meanwhile: str) -> Iterator[None]:
        """Show a status, and any error, as nothing else shows the errors of a widget's callback."""
        # In the end, there is nothing left for a second Ctrl-C to stop.
        with suppress(KeyboardInterrupt), InterruptGuard():
            self.say(meanwhile)
            try:
                with InterruptGuard() as guard:
                    yield
                    guard.release()
            except GradientCheckError as error:
                self.say(str(error), is_error=True)
            except KeyboardInterrupt:
                self.say("Interrupted; the parameters are as they were before.", is_error=True)
            except Exception as error:  # noqa: BLE001 (the user's function may raise anything)
                self.say(f"{type(error).__name__}: {first_line(error)}", is_error=True)
            else:
                self.say("")

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Show a text, or an error."""
        tone = "gc-error" if is_error else "gc-muted"
        self.value = (
            f'<div class="{tone}" style="line-height: 1.5" role="status" aria-live="polite">'
            f"{as_html(text)}</div>"
        )


def close(view: widgets.Widget) -> None:
    """Close a widget, and its children, style and layout, which `Widget.close` leaves open."""
    for child in getattr(view, "children", ()):
        close(child)
    for part in (getattr(view, "style", None), getattr(view, "layout", None), view):
        if isinstance(part, widgets.Widget):
            part.close()


def _sized(name: str, width: str = "auto") -> dict[str, Any]:
    """Return the keyword arguments that give a control a width and a class."""
    return {
        "layout": {"width": width},
        "style": {"description_width": "initial"},
        "_dom_classes": (name,),
    }


def _button(text: str, tooltip: str, pressed: Callable[[object], None]) -> widgets.Button:
    button = widgets.Button(description=text, tooltip=tooltip)
    button.on_click(pressed)
    return button


def _row(*controls: widgets.Widget) -> widgets.HBox:
    layout = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "0 12px"}
    return widgets.HBox(controls, layout=layout)


def _index(text: str) -> tuple[int, ...]:
    """Return the index that the user has typed, as ``[3, 1]`` or ``3, 1``."""
    inside = text.strip().removeprefix("[").removesuffix("]").strip()
    if inside and not re.fullmatch(r"\d+(\s*,\s*\d+)*,?", inside):
        raise InputError(f"`Entry` is {quoted(text)}: expected an index, such as [0, 1].")
    return tuple(int(number) for number in re.findall(r"\d+", inside))

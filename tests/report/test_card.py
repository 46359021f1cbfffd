"""The result as HTML and pictures."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from networks import ClassicExercise, Smooth
from reports import result_by_hand

from gradcheck_magic import check_gradients, step_curve
from gradcheck_magic._notebook.controls import Requests
from gradcheck_magic._notebook.live_card import WidgetCard
from gradcheck_magic._notebook.plain_cards import StaticCard
from gradcheck_magic._report.canvas import svg
from gradcheck_magic._report.card import card
from gradcheck_magic._report.error_counts import error_counts
from gradcheck_magic._report.figures import element
from gradcheck_magic._report.words import picture_alt


@pytest.fixture(scope="module")
def classic():
    net = ClassicExercise()
    return check_gradients(net.params, net.grads(bugs=True), net.cost)


@pytest.fixture(scope="module")
def right():
    net = Smooth()
    return check_gradients(net.params, net.grads(), net.cost)


@pytest.fixture(scope="module", params=["check", "close-up", "step curve"])
def shown(request, classic):
    """The results that can be the last line of a cell."""
    if request.param == "check":
        return classic
    if request.param == "close-up":
        return classic.close_up("W2")
    net = ClassicExercise()
    return step_curve(net.params, net.grads(bugs=True), net.cost, "W2", (2, 1), check=classic)


@pytest.fixture(scope="module")
def every(shown):
    """All forms of a result, as requested by their names."""
    return {"text/plain": str(shown), "text/html": shown._repr_html_()}


class Outline(HTMLParser):
    """The elements of a page; it checks that every one is closed."""

    VOID = ("img", "br")

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html(classic):
    page = Outline(classic.to_html())
    assert page.open == []
    text = " ".join(page.text)
    assert "✗ There is a bug in backpropagation." in text
    assert "0.285" in text
    assert "wrong, 4 of 15" in text
    assert "ε = 1e-07" in text
    blocks = [attrs for _, attrs in page.elements if attrs.get("class") == "gc-diagnosis"]
    assert len(blocks) == len(classic.diagnoses) == 2
    assert "is 4.000 times the numerical gradient" in text
    (region,) = [attrs for _, attrs in page.elements if attrs.get("role") == "region"]
    assert region["aria-label"] == (
        "Gradient check: There is a bug in backpropagation. Difference 0.285."
    )
    images = [attrs for tag, attrs in page.elements if tag == "img"]
    assert [image["alt"] for image in images] == 2 * [picture_alt(classic)]
    assert all(image["src"].startswith("data:image/png;base64,iVBOR") for image in images)


def test_user_strings_are_escaped():
    """Names come from the user's keys and may contain anything."""
    name = "<script>alert('W')</script> & $x_1$"
    found = check_gradients(
        {name: np.ones(2)}, {"d" + name: np.ones(2)}, lambda p: float(p[name] @ p[name])
    )
    for page in (found.to_html(), card(found, element(found, svg))):
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        Outline(page)


def test_a_name_has_no_error_bar():
    name = "a ± b"
    found = check_gradients({name: np.ones(2)}, {name: np.ones(2)}, lambda p: p[name] @ p[name])
    assert "<code>a ± b[0]</code>" in found.to_html()


def test_a_full_stop_in_code_ends_nothing():
    """The first sentence is bold as a whole, with the line of code in it."""
    check = result_by_hand()
    (first, *_) = check.diagnoses
    sentence = "It is in `x = 2. * y  # twice. And`, on the way. Look there."
    page = replace(check, diagnoses=(replace(first, sentence=sentence),)).to_html()
    assert "<b>It is in <code>x = 2. * y  # twice. And</code>, on the way.</b>" in page


@pytest.mark.parametrize(
    ("asked", "forms"),
    [
        ({"include": [], "exclude": []}, {"text/plain", "text/html"}),
        ({"include": {"text/plain"}}, {"text/plain"}),
        ({"include": ["text/html", "image/png"]}, {"text/html"}),
        ({"include": ("image/png",)}, set()),
        ({"exclude": {"text/html"}}, {"text/plain"}),
        ({"include": ["text/plain", "text/html"], "exclude": ["text/html"]}, {"text/plain"}),
    ],
)
def test_mimebundle(shown, every, asked, forms):
    """IPython, and any front end that shows a result, gets the forms that it asks for."""
    bundle, metadata = DisplayFormatter().format(shown, **asked)
    assert bundle == {form: every[form] for form in forms}
    assert metadata == {}


def test_page_stands_alone(every):
    """It contains its styles and its pictures, for light and for dark, with descriptions."""
    page = Outline(every["text/html"])
    assert page.open == []
    assert page.elements[0] == ("style", {})
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    themes = [picture["class"] for picture in pictures]
    assert themes == len(pictures) // 2 * ["gc-light", "gc-dark"]
    assert all(p["alt"] and p["src"].startswith("data:image/png;base64,") for p in pictures)
    assert not {"svg", "script", "link"} & {tag for tag, _ in page.elements}


def test_names_are_escaped():
    name = "<b>W</b>"
    W = np.ones((2, 2))
    cost = lambda p: np.sum(p[name] ** 3)  # noqa: E731 (short)
    check = check_gradients({name: W}, {name: 2 * W}, cost)
    curve = step_curve({name: W}, {name: 2 * W}, cost, name, (0, 1), check=check)
    for shown in (check, check.close_up(name), curve):
        page = shown.to_html()
        assert name not in page
        assert "&lt;b&gt;W&lt;/b&gt;" in page
        assert name in str(shown)


def test_close_up_as_text(classic):
    """The text has the verdict, the worst entries and the histogram of one parameter."""
    close = classic.close_up("W2")
    head, worst, histogram = str(close).split("\n\n")
    assert head.startswith("W2   ")
    assert "✗ wrong, 4 of 15" in head
    labels = [line.split("  ")[2] for line in worst.splitlines()]
    assert labels == [entry.label for entry in close.worst(8)]
    assert histogram.startswith("relative error of 15 of 15 entries\n")
    assert repr(close) == "<CloseUp W2, 15 of 15 entries measured>"


def test_alt_text(classic):
    assert picture_alt(classic) == (
        "Histogram of the relative errors of 47 entries: "
        f"{np.sum(classic.relative_errors == 0)} exactly equal, "
        f"{np.sum((classic.relative_errors > 0) & (classic.relative_errors < 1e-7))} below 1e-07, "
        f"{np.sum((classic.relative_errors >= 1e-7) & (classic.relative_errors < 1e-5))} "
        "from 1e-07 to 1e-05, 8 at 0.001 or more."
    )


def test_histogram_loses_nothing():
    """Errors beyond the edges, exact zeros and nan are all counted."""
    errors = np.array([0, 0, 1e-30, 1e-12, 3e-5, 1, np.nan])
    exact, smallest, *others, not_finite = error_counts(errors, np.arange(-12.0, 1.0))
    assert (exact, smallest, sum(others), not_finite) == (2, 2, 2, 1)


def test_figure(classic):
    """The figure has bars for every entry, the thresholds, and names in the legend."""
    figure = classic.figure()
    (axes,) = figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == 47
    lines = sorted(float(line.get_xdata()[0]) for line in axes.lines)
    assert lines == pytest.approx([-7, -5, -3])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["agree", "b1", "W2"]


@pytest.mark.parametrize(
    "settings",
    [
        {"text.usetex": True},
        {"font.size": 60, "axes.facecolor": "black", "text.color": "white"},
        {"svg.fonttype": "path", "savefig.facecolor": "red"},
    ],
)
def test_pictures_are_immune_to_settings(right, settings):
    """Nor do the pictures change the settings."""
    plain = right.to_html()
    with mpl.rc_context(settings):
        before = dict(mpl.rcParams)
        assert right.to_html() == plain
        assert "currentColor" in element(right, svg)
        assert dict(mpl.rcParams) == before


# The card on the screen


class Publisher:
    """A stand-in for a notebook's outputs: they are kept, and replaced in place."""

    def __init__(self):
        self.outputs = []

    def __call__(self, bundle):
        self.outputs.append(dict(bundle))
        number = len(self.outputs) - 1
        return type(
            "Output", (), {"update": lambda _, new: self.outputs.__setitem__(number, new)}
        )()


def live_card(publish):
    """Return a live card whose controls are not used."""
    return WidgetCard(publish, Requests(pytest.fail, pytest.fail, "auto", None))


def test_widget_and_its_twin(classic):
    publish = Publisher()
    live = live_card(publish)
    live.show(classic)
    static, widget = publish.outputs
    assert static["text/plain"] == str(classic)
    assert "gc-static" in static["text/html"]
    assert "data:image/png" in static["text/html"]
    assert widget["application/vnd.jupyter.widget-view+json"]["model_id"] == live.view.model_id
    assert widget["text/plain"] == ""
    assert "<svg" in live.view.children[0].value
    assert "gc-live" in live.view.children[0].value


def test_two_cards_have_classes_of_their_own(classic):
    """Otherwise one card would hide the other."""
    pages = []
    for _ in range(2):
        publish = Publisher()
        live_card(publish).show(classic)
        pages.append(publish.outputs[0]["text/html"])
    first, second = (set(re.findall(r"gc-[0-9a-f]{12}", page)) for page in pages)
    assert len(first) == len(second) == 1
    assert first != second


def test_progress_is_shown_late_and_in_place(classic):
    """A short check shows no progress; a long one shows it in the outputs of the result."""
    publish = Publisher()
    live = live_card(publish)
    live.progress(1, 100, 0.1)
    assert publish.outputs == []
    live.progress(40, 100, 0.4)
    assert (
        "40 of about 100 evaluations, 100 per second, about 1 s left" in live.view.children[0].value
    )
    live.progress(41, 100, 0.45)
    assert "40 of about 100" in live.view.children[0].value
    live.progress(60, 100, 0.6)
    assert "60 of about 100" in live.view.children[0].value
    live.show(classic)
    assert len(publish.outputs) == 2
    assert "of about 100" not in live.view.children[0].value + publish.outputs[0]["text/html"]


@pytest.mark.parametrize("kind", [StaticCard, live_card])
def test_nothing_is_left_of_progress(kind):
    """An error during the check removes the progress."""
    publish = Publisher()
    kind(publish).clear()
    assert publish.outputs == []
    shown = kind(publish)
    shown.progress(40, 100, 0.4)
    shown.clear()
    for output in publish.outputs:
        assert set(output.values()) == {""}


def test_last_result_comes_back(classic):
    """An error during another check brings the last result back to the live card."""
    publish = Publisher()
    live = live_card(publish)
    live.show(classic)
    before = live.view.children[0].value
    live.progress(40, 100, 0.4)
    assert live.view.children[0].value != before
    live.clear()
    assert live.view.children[0].value == before
    assert publish.outputs[0]["text/plain"] == str(classic)


def test_static_card(classic):
    publish = Publisher()
    shown = StaticCard(publish)
    shown.progress(40, 100, 0.4)
    shown.show(classic)
    (output,) = publish.outputs
    assert output["text/plain"] == str(classic)
    assert "data:image/png" in output["text/html"]


@pytest.mark.parametrize(
    ("difference", "place"),
    [(0.0, 0), (1e-15, 0), (1e-12, 0), (1e-7, 41.67), (1e-5, 58.33), (1e-3, 75), (1.0, 100)],
)
def test_ruler(difference, place):
    """The pointer is at the place of the difference among the marks."""
    page = card(replace(result_by_hand(), difference=difference), "")
    assert f'class="gc-pointer" style="line-height:1;height:12px;margin-left:{place:.2f}%"' in page
    for mark in ("1e-7", "1e-5", "1e-3"):
        assert f">{mark}<" in page


def test_ruler_without_a_number():
    assert "gc-pointer" not in card(replace(result_by_hand(), difference=np.nan), "")


def test_long_lists_fold():
    """Everything wrong comes before the fold."""
    params = {f"W{i}": np.ones(2) for i in range(21)}
    grads = {f"dW{i}": 2 * np.ones(2) for i in range(21)}
    grads["dW20"][0] = 3
    found = check_gradients(params, grads, lambda p: sum(float(w @ w) for w in p.values()))
    before, fold, after = card(found, "").partition("<details>")
    assert fold
    assert "<code>W20</code>" in before
    assert "<code>W19</code>" in after
    assert "9 more, all agree" in after


def test_names_in_any_script():
    """The font of the picture may lack the characters, but the user gets no warning."""
    found = check_gradients(
        {"权重": np.ones(2)}, {"d权重": np.ones(2)}, lambda p: p["权重"] @ p["权重"]
    )
    assert "权重" in found.to_html()


def test_not_measurable_is_drawn_apart():
    def cost(theta):
        return float(theta[1] ** 2) if theta[0] == 1 else np.nan

    found = check_gradients(np.array([1.0, 2.0]), np.array([0.0, 4.0]), cost)
    legend = found.figure().axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["agree", "not measurable"]

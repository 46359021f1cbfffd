"""However often a check is made in a kernel, only the last card is left."""

import pytest
from kernel import CARDS, counted, started

from gradcheck_magic._notebook.live_card import MOST_LIVE

RUNS = 100
# The objects that a run may leave behind: IPython's history grows, and matplotlib's caches fill up
# in the first hundred runs or so. A card that stays alive has 500, with some forty widgets.
MOST_LEFT = 200


@pytest.fixture(scope="module")
def kernel():
    with started() as kernel:
        kernel.run(CARDS)
        yield kernel


def test_a_hundred_runs(kernel):
    """The number of widgets and other objects does not grow with the runs of a cell."""
    kernel.run("%gradcheck")
    widgets, objects = counted(kernel)
    for _ in range(RUNS):
        kernel.run("%gradcheck")
    widgets_then, objects_then = counted(kernel)
    assert widgets_then == widgets
    assert objects_then - objects < RUNS * MOST_LEFT


def test_many_cards(kernel):
    """If the front end does not distinguish cells, a new card replaces the oldest one."""
    for _ in range(MOST_LIVE):
        kernel.run("%gradcheck", None)
    widgets, _ = counted(kernel)
    for _ in range(3):
        kernel.run("%gradcheck", None)
    assert counted(kernel)[0] == widgets

"""However often a check is made in a kernel, only the last card is left."""

import pytest
from kernel import CARDS, counted, started

RUNS = 25
# The objects that a run may leave behind: IPython's history grows, and matplotlib's caches fill up,
# which makes about four. A card that stays alive has 500, with some forty widgets.
MOST_LEFT = 20
MOST_LIVE = 4


@pytest.fixture(scope="module")
def kernel():
    with started() as kernel:
        kernel.run(CARDS)
        yield kernel


def test_many_runs(kernel):
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
    kernel.run(
        f"from gradcheck_magic._notebook import live_card\nlive_card.MOST_LIVE = {MOST_LIVE}"
    )
    for _ in range(MOST_LIVE):
        kernel.run("%gradcheck", None)
    widgets, _ = counted(kernel)
    for _ in range(3):
        kernel.run("%gradcheck", None)
    assert counted(kernel)[0] == widgets

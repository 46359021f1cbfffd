"""Random states that the user's function uses are restored in any case."""

import random

import numpy as np
import pytest

from gradcheck_magic._cost.restore import restored

generator = np.random.default_rng(1)
held = {"old": np.random.RandomState(2), "python": random.Random(3)}  # noqa: S311
operating_system = random.SystemRandom()


class Sampler:
    def __init__(self):
        self.generator = np.random.default_rng(4)

    def cost(self, _):
        return self.generator.random()


sampler = Sampler()


def uses_global(x):
    return random.random() + np.random.random()  # noqa: S311


def uses_variable(x):
    return generator.random()


def uses_container(x):
    return held["old"].random() + held["python"].random()


def uses_object(x):
    return sampler.cost(x)


def uses_another(x):
    return uses_variable(x)


def closure():
    own = np.random.default_rng(5)
    return lambda x: own.random()


def in_a_list():
    several = [np.random.default_rng(6), 3]
    return lambda x: several[0].random()


FUNCTIONS = [
    uses_global, uses_variable, uses_container, uses_object, uses_another, closure(), in_a_list(),
    sampler.cost,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__qualname__)
def test_given_back(function):
    """The function draws the same number every time the block is entered again."""
    with restored(np.ones(2), function):
        first = function(0)
        assert function(0) != first
    with restored(np.ones(2), function):
        assert function(0) == first


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_after_an_error(error):
    before = generator.bit_generator.state
    with pytest.raises(error):  # noqa: SIM117 (what is raised inside is what is tested)
        with restored(np.ones(2), uses_variable):
            raise_after(uses_variable, error)
    assert generator.bit_generator.state == before


def raise_after(function, error):
    function(0)
    raise error


def test_what_nobody_reads_is_left_alone():
    other = np.random.default_rng(7)
    with restored(np.ones(2), uses_variable):
        first = other.random()
    assert other.random() != first


def test_several_functions():
    before = generator.bit_generator.state, sampler.generator.bit_generator.state
    with restored(np.ones(2), uses_variable, sampler.cost):
        uses_variable(0)
        sampler.cost(0)
    assert (generator.bit_generator.state, sampler.generator.bit_generator.state) == before


def test_what_has_no_state_is_no_trouble():
    with restored(np.ones(2), lambda x: operating_system.random()):
        assert operating_system.random() >= 0

"""Several lines of inquiry at once, each of which asks for evaluations until it has its answer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TypeVar

__all__ = ["answered"]

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


def answered(
    inquiries: Sequence[Generator[Question, Answer, Result]],
    answers: Callable[[Sequence[Question]], Sequence[Answer]],
    at_once: int,
) -> list[Result]:
    """Return what each inquiry comes to, in their order.

    Parameters
    ----------
    inquiries : sequence of generator
        Each yields questions and is sent their answers.
    answers : callable
        Answers several questions at once.
    at_once : int
        How many inquiries go on at the same time.
    """
    results: list[Result] = []
    for start in range(0, len(inquiries), at_once):
        results += _in_step(inquiries[start : start + at_once], answers)
    return results


def _in_step(
    inquiries: Sequence[Generator[Question, Answer, Result]],
    answers: Callable[[Sequence[Question]], Sequence[Answer]],
) -> list[Result]:
    results: dict[int, Result] = {}
    asked: dict[int, Question] = {}

    def go_on(i: int, go: Callable[[], Question]) -> None:
        try:
            asked[i] = go()
        except StopIteration as stop:
            results[i] = stop.value

    for i, inquiry in enumerate(inquiries):
        go_on(i, partial(next, inquiry))
    while asked:
        under_way, found = list(asked), answers(list(asked.values()))
        asked.clear()
        for i, answer in zip(under_way, found, strict=True):
            go_on(i, partial(inquiries[i].send, answer))
    return [results[i] for i in range(len(inquiries))]

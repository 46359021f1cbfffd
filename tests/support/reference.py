"""Write the reference of the public names, notebooks/reference.md, from docstrings alone.

Run it as ``python tests/support/reference.py``; a test fails if the page is out of date.
"""

import inspect
import re
import sys
from enum import Enum
from pathlib import Path
from textwrap import dedent

from numpydoc.docscrape import NumpyDocString, Parameter

import gradcheck_magic as package
from gradcheck_magic._notebook.magic import HELP, GradcheckMagics
from gradcheck_magic._notebook.options import OPTIONS, SETTINGS
from gradcheck_magic._result.close_up import CloseUp
from gradcheck_magic._result.error_grid import ErrorGrid
from gradcheck_magic._result.parameter_check import WrongRegion
from gradcheck_magic.demo import load_digits

PAGE = Path(__file__).parents[2] / "notebooks" / "reference.md"
MAGIC = "%gradcheck"
INTRODUCTION = """\
# Reference

What `gradcheck_magic` offers, by its docstrings: `check_gradients?` and `help(check_gradients)`
show the same. How to begin, and how to read the verdict, is in the [README](../README.md).
"""
GROUPS = {
    "Checks": [package.check_gradients, package.gradient_checking, package.step_curve],
    "Results": [
        package.GradientCheck, package.Verdict, package.ParameterCheck, package.Entry, WrongRegion,
        package.Diagnosis, package.Cause, CloseUp, ErrorGrid, package.StepCurve,
    ],
    "Errors": [
        package.GradientCheckError, package.InputError, package.GradientCheckFailed,
        package.GradientCheckInterrupted, package.WorkerLostError,
    ],
    "Data": [load_digits],
    "IPython": [package.load_ipython_extension, package.unload_ipython_extension],
}  # fmt: skip
NAMES = [MAGIC, *(thing.__name__ for things in GROUPS.values() for thing in things)]
SECTIONS = ["Attributes", "Parameters", "Returns", "Raises", "Notes", "References", "Examples"]
WIDTH = 80


def page():
    """Return the whole page."""
    parts = [INTRODUCTION, contents(), "## The magic", magic()]
    for title, things in GROUPS.items():
        parts += [f"## {title}", *map(entry, things)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def contents():
    lines = [f"- The magic:\n  - {link(MAGIC)}: {HELP.strip().splitlines()[0]}"]
    for title, things in GROUPS.items():
        lines.append(f"- {title}:")
        lines += [f"  - {link(t.__name__)}: {' '.join(parsed(t)['Summary'])}" for t in things]
    return markdown("\n".join(lines))


def entry(thing):
    """Return the text about a function or a class."""
    doc = parsed(thing)
    parts = [heading(thing.__name__)]
    if inspect.isfunction(thing):
        return "\n\n".join([*parts, code(signature(thing)), *description(doc), *sections(doc)])
    parts += description(doc)
    if issubclass(thing, Enum):
        parts.append(members(thing, doc))
        doc["Attributes"] = []
    own = public(thing)
    doc["Attributes"] += [attribute(held.fget) for held in own if isinstance(held, property)]
    methods = [method(thing, held) for held in own if inspect.isfunction(held)]
    return "\n\n".join([*parts, *sections(doc), *methods])


def public(thing):
    """Return the public members of a class, including those inherited from classes of ours."""
    ours = [kind for kind in thing.__mro__ if kind.__module__.startswith(package.__name__)]
    held = {name: value for kind in reversed(ours) for name, value in vars(kind).items()}
    return [value for name, value in held.items() if not name.startswith("_")]


def attribute(get):
    """Return a property in the form of a documented attribute."""
    return Parameter(get.__name__, kind_of_result(get), parsed(get)["Summary"])


def method(owner, function):
    """Return the text about a method, under a heading with its signature."""
    doc = parsed(function)
    title = f"#### `{owner.__name__}.{signature(function)}`"
    return "\n\n".join([title, *description(doc), *sections(doc)])


def members(enum, doc):
    """Return the members of an enumeration, each with its value and its description."""
    told = {attribute.name: attribute.desc for attribute in doc["Attributes"]}
    return "\n".join(bullet([m.name], "", [f"“{m.value}”", *told.get(m.name, [])]) for m in enum)


def description(doc):
    """Return the first sentence, and the text after it."""
    return [markdown("\n".join(doc[part])) for part in ("Summary", "Extended Summary") if doc[part]]


def sections(doc):
    """Yield the other sections that a docstring has."""
    for title in filter(doc.get, SECTIONS):
        yield f"**{title}**"
        if title == "Examples":
            yield examples("\n".join(doc[title]))
        elif isinstance(doc[title][0], str):
            yield markdown("\n".join(doc[title]))
        else:
            yield "\n".join(bullet(names_of(item), item.type, item.desc) for item in doc[title])


def names_of(item):
    return item.name.split(", ") if item.name else []


def bullet(names, kind, lines):
    """Return an item of a list: names, their type, and their meaning."""
    bold = ", ".join(f"**`{name}`**" for name in names)
    kind = linked(kind)
    what = f"{bold} (*{kind}*)" if bold and kind else bold or f"*{kind}*"
    return markdown("\n  ".join([f"- {what}: {' '.join(lines[:1])}", *lines[1:]]))


def examples(text):
    """Return examples as blocks of code, with the text between them as text."""
    blocks = [block.strip("\n") for block in text.split("\n\n")]
    joined = "\n\n".join(code(b) if b.startswith(">>>") else markdown(b) for b in blocks)
    return joined.replace("\n```\n\n```python\n", "\n\n")


# The magic


def magic():
    """Return the help of the magic, with its options and settings as tables."""
    told = re.sub(r"((?:^    .*\n)+)", as_code, HELP, flags=re.MULTILINE)
    return "\n\n".join([
        heading(MAGIC), markdown(told.strip()),
        table(["option", "meaning", "default"], map(option_row, options())),
        f"`%config {GradcheckMagics.__name__}` sets defaults for a notebook:",
        table(["name", "meaning", "default"], map(setting_row, SETTINGS.values())),
    ])  # fmt: skip


def as_code(indented):
    return f"{code(dedent(indented[0]).strip())}\n"


def options():
    """Return the options that can be given on a line."""
    return [option for option in OPTIONS if option.is_on_line]


def told_default(option):
    """Return the help of an option, and the default from the brackets at its end."""
    return re.fullmatch(r"(.*?)(?: \[(.*)\])?", option.help).groups(default="")


def option_row(option):
    spelled = ", ".join(f"`{name}`" for name in option.flags)
    value = f" `{option.metavar}`" if option.metavar else ""
    return [spelled + value, *told_default(option)]


def setting_row(option):
    meaning, _ = told_default(option)
    return [f"`{option.name}`", meaning, f"`{option.default!r}`"]


# Markdown


def markdown(text):
    """Return a docstring's text as Markdown, with links to the names on this page."""
    text = re.sub(r"(?<!`)``([^`]+)``(?!`)", r"`\1`", text)
    return re.sub(r"(?<!\[)`([\w.]+)`", lambda quoted: linked_name(quoted[1], quoted[0]), text)


def linked(kind):
    """Return a type, with links to the names on this page."""
    return re.sub(r"\w+", lambda word: linked_name(word[0], word[0]), kind)


def linked_name(name, otherwise):
    """Return a link to a name, or to the class of an attribute, if it is on this page."""
    known = [part for part in name.split(".") if part in NAMES]
    return f"[`{name}`](#{anchor(known[0])})" if known else otherwise


def link(name):
    return f"[`{name}`](#{anchor(name)})"


def anchor(name):
    """Return the anchor that GitHub gives to a heading."""
    return name.lower().removeprefix("%")


def heading(name):
    # JupyterLab gives the heading another anchor, but keeps this one.
    return f'### <a id="{anchor(name)}"></a>{name}'


def code(text):
    return f"```python\n{text}\n```"


def table(titles, rows):
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# Python


def parsed(thing):
    return NumpyDocString(inspect.getdoc(thing))


def signature(function):
    """Return how a function is called, without types: the list of parameters has them."""
    given = inspect.signature(function)
    parameters = [
        p.replace(annotation=p.empty) for p in given.parameters.values() if p.name != "self"
    ]
    plain = given.replace(parameters=parameters, return_annotation=given.empty)
    line = f"{function.__name__}{plain}".replace("'", '"')
    if len(line) <= WIDTH:
        return line
    inner = str(plain)[1:-1].replace("'", '"').split(", ")
    return "\n    ".join([f"{function.__name__}(", *(f"{each}," for each in inner)]) + "\n)"


def kind_of_result(function):
    """Return the type of a function's result, as docstrings write it."""
    annotation = inspect.signature(function).return_annotation
    return "ndarray" if annotation == "Vector" else annotation


def main():
    PAGE.write_text(page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.exit(main())

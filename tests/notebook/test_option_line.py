"""How the options of `%gradcheck` may be written, and the errors if they are written otherwise."""

import ast
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_magic import InputError
from gradcheck_magic._notebook.option_line import names, quoted, read_options, split
from gradcheck_magic._notebook.options import FLAGS


def read(line):
    """Return the options that a line gives."""
    options = vars(read_options(line))
    return {name: value for name, value in options.items() if value is not None}


LINES = [
    pytest.param("", {}, id="nothing"),
    pytest.param("  \t ", {}, id="spaces"),
    pytest.param("-p net.params", {"params": "net.params"}, id="short"),
    pytest.param("--params net.params", {"params": "net.params"}, id="long"),
    pytest.param("--params=net.params", {"params": "net.params"}, id="behind ="),
    pytest.param("-p=net.params", {"params": "net.params"}, id="short, behind ="),
    pytest.param("-pnet.params", {"params": "net.params"}, id="short, without a space"),
    pytest.param("-pa=b", {"params": "a=b"}, id="with = in the value"),
    pytest.param("--eps 1e-6", {"epsilon": 1e-6}, id="abbreviated"),
    pytest.param("--no-q", {"quiet": False}, id="abbreviated, negated"),
    pytest.param("-q --strict", {"quiet": True, "strict": True}, id="flags"),
    pytest.param("--no-quiet --no-strict", {"quiet": False, "strict": False}, id="flags, negated"),
    pytest.param("-p  a\t-g\u00a0b", {"params": "a", "grads": "b"}, id="spaces of all kinds"),
    # Quotes
    pytest.param('-p "[W1, b1]"', {"params": "[W1, b1]"}, id="double quotes"),
    pytest.param("-p '[W1, b1]'", {"params": "[W1, b1]"}, id="single quotes"),
    pytest.param('--params="[W1, b1]"', {"params": "[W1, b1]"}, id="quotes behind ="),
    pytest.param("-p='a b'", {"params": "a b"}, id="quotes behind a short ="),
    pytest.param('-p"a b"', {"params": "a b"}, id="quotes without a space"),
    pytest.param("-c 'f(\"a b\")'", {"cost": 'f("a b")'}, id="the other kind inside"),
    pytest.param("-p \"d['a b']\"", {"params": "d['a b']"}, id="and the other way round"),
    pytest.param("-p params['W1']", {"params": "params['W1']"}, id="quotes that belong to it"),
    pytest.param('-p params["a b"]', {"params": 'params["a b"]'}, id="and hold a space"),
    pytest.param("-p 'a'+'b'", {"params": "'a'+'b'"}, id="quotes at both ends, not around"),
    pytest.param('-p """a"""', {"params": '"""a"""'}, id="Python's three quotes"),
    pytest.param('-p ""', {"params": ""}, id="an empty value"),
    pytest.param(r"-p ['it\'s', 'b c']", {"params": r"['it\'s', 'b c']"}, id="an escaped quote"),
    pytest.param('-g "-dW"', {"grads": "-dW"}, id="a minus in quotes"),
    # Brackets
    pytest.param("-p [W1,b1] -q", {"params": "[W1,b1]", "quiet": True}, id="brackets"),
    pytest.param("-p [W1, b1] -q", {"params": "[W1, b1]", "quiet": True}, id="spaces in them"),
    pytest.param("-g f(a, b)[0, 1]", {"grads": "f(a, b)[0, 1]"}, id="brackets behind each other"),
    pytest.param("-g {'a': [x, (y, z)]}", {"grads": "{'a': [x, (y, z)]}"}, id="nested brackets"),
    pytest.param("-g g(']', x) -q", {"grads": "g(']', x)", "quiet": True}, id="one in a string"),
    pytest.param("-p a] -q", {"params": "a]", "quiet": True}, id="one too many is Python's matter"),
    pytest.param(
        "-c (lambda p: f(p, 'x', \"y z\"))", {"cost": "(lambda p: f(p, 'x', \"y z\"))"},
        id="both kinds of quotes in brackets",
    ),
    # Values
    pytest.param("-g -1e-7", {"grads": "-1e-7"}, id="negative, with an exponent"),
    pytest.param("-g=-.5", {"grads": "-.5"}, id="negative, without a digit in front"),
    pytest.param("--workers -1", {"workers": "-1"}, id="negative, as an expression"),
    pytest.param("--grads=-dW", {"grads": "-dW"}, id="a minus behind ="),
    pytest.param("--mode=scan", {"mode": "scan"}, id="a choice behind ="),
    pytest.param("--mode 'scan'", {"mode": "scan"}, id="a choice in quotes"),
    pytest.param("--seed '3'", {"seed": 3}, id="a number in quotes"),
    pytest.param("-p a==b", {"params": "a==b"}, id="= in a value"),
    pytest.param("--params=a=b", {"params": "a=b"}, id="= in a value behind ="),
    # Names
    pytest.param("--only W1", {"only": ["W1"]}, id="one name"),
    pytest.param("--only W1 b1 -q", {"only": ["W1", "b1"], "quiet": True}, id="two"),
    pytest.param("--only W1,b1", {"only": ["W1", "b1"]}, id="with a comma"),
    pytest.param("--only=W1,b1", {"only": ["W1", "b1"]}, id="with a comma behind ="),
    pytest.param("--only=W1 b1", {"only": ["W1", "b1"]}, id="one behind = and one more"),
    pytest.param("--only W1, b1", {"only": ["W1", "b1"]}, id="a comma and a space"),
    pytest.param('--only "W1, b1"', {"only": ["W1", "b1"]}, id="in quotes, with a space"),
    pytest.param("--only 'W1','b1'", {"only": ["W1", "b1"]}, id="in quotes, one by one"),
    pytest.param('--only "layer 1"', {"only": ["layer 1"]}, id="a name with a space"),
    pytest.param(
        "--only params[(0, 1)],b", {"only": ["params[(0, 1)]", "b"]}, id="a name with a comma"
    ),
    # Comments
    pytest.param("# all", {}, id="only a comment"),
    pytest.param("-q  # quick", {"quiet": True}, id="a comment"),
    pytest.param("-q #it's [quick", {"quiet": True}, id="a comment with a quote and a bracket"),
    pytest.param("-p '# a'", {"params": "# a"}, id="none in quotes"),
    pytest.param("-p [a, # b\n c]", {"params": "[a, # b\n c]"}, id="none in brackets"),
    pytest.param("-p a#b", {"params": "a#b"}, id="none in a word"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said"), LINES)
def test_lines(line, said):
    assert read(line) == said


SEE = " See %gradcheck? for the options."
NO_OPTION = {
    "--epsilom 1e-6": f"there is no option `--epsilom` (did you mean `--epsilon`?).{SEE}",
    "--Mode=scan": f"there is no option `--Mode` (did you mean `--mode`?).{SEE}",
    "--no-mode": f"there is no option `--no-mode` (did you mean `--mode`?).{SEE}",
    "--verbosity 1": f"there is no option `--verbosity`.{SEE}",
    "-- strict": f"`--` has no option before it.{SEE}",
    "-x": f"there is no option `-x`.{SEE}",
    "-m scan": f"there is no option `-m` (did you mean `--mode`?).{SEE}",
    "-s 3": f"there is no option `-s`.{SEE}",
    "-params a": f"there is no option `-params` (did you mean `--params`?).{SEE}",
    "-mode=scan": f"there is no option `-mode` (did you mean `--mode`?).{SEE}",
    "--p a": f"there is no option `--p` (did you mean `-p`?).{SEE}",
    "--no": f"there is no option `--no` (did you mean `--no-quiet`?).{SEE}",
    "-qo mine": f"there is no option `-qo`.{SEE}",
    "grads": f"`grads` has no option before it (did you mean `--grads`?).{SEE}",
    "scan": f"`scan` has no option before it.{SEE}",
    "-q strict": f"`strict` has no option before it (did you mean `--strict`?).{SEE}",
    "-o check strict": (
        "`strict` is left over after `-o check`: put a value with spaces in "
        'quotes or brackets, as in -o "check strict".'
    ),
    "only W1 b1": f"`only` has no option before it (did you mean `--only`?).{SEE}",
    "epsilon": f"`epsilon` has no option before it (did you mean `--epsilon`?).{SEE}",
    "theta": f"`theta` has no option before it.{SEE}",
    "-q -1": f"`-1` has no option before it.{SEE}",
    "-p a --params b": "`--params` is given twice: write it once.",
    "-q --no-quiet": "`--quiet` is given twice: write it once.",
    "--only W1 --only b1": "`--only` is given twice: write it once.",
}
NO_VALUE = {
    "--epsilon": (
        "`--epsilon` needs a value, a positive number, such as 1e-7: write --epsilon=STEP."
    ),
    "--mode  # full": "`--mode` needs a value, auto, full or scan: write --mode=MODE.",
    "--only": "`--only` needs a value, names of parameters: write --only=NAME.",
    "-p = a": (
        '`-p` needs a value, a name or an expression, such as "model.weights": write -p=EXPR.'
    ),
    "-p =a": (
        '`-p` needs a value, a name or an expression, such as "model.weights": write -p=EXPR.'
    ),
    "-p= a": (
        '`-p` needs a value, a name or an expression, such as "model.weights": write -p=EXPR.'
    ),
    "--out --quiet": "`--out` needs a value, a name: write --out=NAME.",
    "--grads -dW": (
        "`--grads` needs a value, a name or an expression, such as "
        '"model.weights": write --grads=EXPR.'
    ),
    "--quiet=yes": f"`yes` has no option before it.{SEE}",
    "-q=1": f"`1` has no option before it.{SEE}",
    "-c lambda p: f(p)": (
        "`p: f(p)` is left over after `-c lambda`: put a value with spaces in "
        'quotes or brackets, as in -c "lambda p: f(p)".'
    ),
    '--params=a + "b" -q': (
        '`+ "b"` is left over after `--params a`: put a value with spaces in '
        "quotes or brackets, as in --params 'a + \"b\"'."
    ),
    "-p 'a' + \"b\"": (
        "`+ \"b\"` is left over after `-p 'a'`: put a value with spaces in "
        "quotes or brackets, as in -p ('a' + \"b\")."
    ),
}
NO_SUCH_VALUE = {
    "--seed x": "`--seed` is x: expected a whole number from 0 on.",
    "--points=1.5": "`--points` is 1.5: expected a whole number from 1 on.",
    "--epsilon 1e-7.5": "`--epsilon` is 1e-7.5: expected a positive number, such as 1e-7.",
    "--budget 20s": "`--budget` is 20s: expected a positive number, such as 10.",
    "-o 1x": "`-o` is 1x: expected a name.",
    "--out lambda": "`--out` is lambda: expected a name.",
    "--mode fast": "`--mode` is fast: expected auto, full or scan.",
    "--mode=scam": ("`--mode` is scam (did you mean `scan`?): expected auto, full or scan."),
    "--display 'card'": "`--display` is card: expected auto, widget, static or text.",
    "-p 'a -q": "the quote ' in `'a -q` is never closed: write ' where the value ends.",
    "--params=\"a' b": (
        'the quote " in `--params="a\' b` is never closed: write " where the value ends.'
    ),
    "-p it's": "the quote ' in `it's` is never closed: write ' where the value ends.",
    "-p [W1, b1 -q": (
        "the bracket [ in `[W1, b1 -q` is never closed: write ] where the value ends."
    ),
    "-g f(a, [b, c]": (
        "the bracket ( in `f(a, [b, c]` is never closed: write ) where the value ends."
    ),
    "--seed -1": "`--seed` is -1: expected a whole number from 0 on.",
    "--epsilon -1e-7": "`--epsilon` is -1e-07: expected a positive number, such as 1e-7.",
    "--budget=-.5": "`--budget` is -0.5: expected a positive number, such as 10.",
}


@pytest.mark.parametrize(
    ("line", "sentence"), [*NO_OPTION.items(), *NO_VALUE.items(), *NO_SUCH_VALUE.items()]
)
def test_wrong_lines(line, sentence):
    with pytest.raises(InputError) as error:
        read(line)
    assert str(error.value) == f"%gradcheck: {sentence}"


@pytest.mark.parametrize("name", FLAGS)
def test_every_option_is_read(name):
    """Every option is read, with a space or `=` before its value."""
    option = FLAGS[name]
    if option.is_switch:
        assert read(name) == {option.name: not name.startswith("--no-")}
        return
    value = "3" if option.kind.of_text in {int, float} else "name"
    value = next(iter(option.kind.choices), value)
    assert read(f"{name} {value}") == read(f"{name}={value}") != {}


@pytest.mark.parametrize("cell", ["%gradcheck {}", "  %gradcheck {}", "%%gradcheck {}\nran = True"])
def test_in_a_shell(shell, run, cell):
    """Nothing on the line is lost on its way through the shell."""
    run("import numpy as np\nW1, b1 = np.ones((2, 3)), np.ones(2)")
    run("def cost(W1, b1, sign=1): return sign * (np.sum(W1**2) + np.sum(b1**2))")
    given = (
        "-p [W1, b1] -g=[2 * W1, \"x\" and 2 * b1] -c='lambda *p: cost(*p)' --only b1  # it's [ok"
    )
    assert [p.name for p in run(cell.format(given)).parameters] == ["b1"]


# Quoted values are read unchanged


def is_plain(value):
    return not (value.endswith("\\") or ("'" in value and '"' in value))


# Texts of characters that have a meaning on the line, and of others.
VALUES = st.text(st.one_of(st.sampled_from("\"'=-#,[](){}\\ aW1"), st.characters())).filter(
    is_plain
)


@settings(deadline=None)
@given(
    VALUES, st.sampled_from(["-p {}", "-p={}", "--params={}", "-q --params {} -g x  # that's it"])
)
def test_what_is_quoted_comes_out(value, form):
    for quote in "\"'":
        if quote not in value:
            assert read(form.format(quote + value + quote))["params"] == value


@settings(deadline=None)
@given(VALUES.filter(bool))
def test_what_we_quote_comes_out(value):
    assert read(f"--params {quoted(value)} -q") == {"params": value, "quiet": True}


PIECES = [*"\"'=-#,[](){}\\ a1\n", " -p ", " --only ", " -q ", " --mode="]
LINES_OF_ANY_KIND = st.lists(st.sampled_from(PIECES)).map("".join)
CONSTANTS = st.one_of(st.text(), st.binary(), st.integers(), st.floats())
EXPRESSIONS = st.recursive(
    CONSTANTS,
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner), st.dictionaries(st.text(), inner)
    ),
)


@settings(deadline=None)
@given(EXPRESSIONS)
def test_python_in_brackets_comes_out(value):
    """Python in brackets is read unchanged, with any quotes, brackets and backslashes."""
    written = f"({value!r} or x, y)"
    ast.parse(written)
    assert read(f"-p {written} -q") == {"params": written, "quiet": True}


@settings(deadline=None)
@given(LINES_OF_ANY_KIND)
def test_every_line_is_read_or_refused(line):
    """A line that cannot be read is refused with an error of ours."""
    with contextlib.suppress(InputError):
        read(line)


@settings(deadline=None)
@given(LINES_OF_ANY_KIND)
def test_nothing_is_lost_between_words(line):
    """The words of a line contain everything in it, except the spaces and a comment."""
    words, opened = split(line)
    found, written = "".join("".join(words).split()), "".join(line.split())
    assert found == written or (opened == "#" and written.startswith(f"{found}#"))


@settings(deadline=None)
@given(st.lists(st.from_regex(r"\w( ?\w)*(\[\w(, ?\w)*\])?", fullmatch=True)))
def test_names_between_commas(wanted):
    assert names(", ".join(wanted)) == wanted

"""The files of a release are built as they would be, and inspected."""

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from needed import require

require("build", "hatchling", "hatch_fancy_pypi_readme", "twine")
from gradcheck_magic import __version__  # noqa: E402

ROOT = Path(__file__).parents[3]
WHEEL = f"gradcheck_magic-{__version__}-py3-none-any.whl"
SDIST = f"gradcheck_magic-{__version__}.tar.gz"


def run(*command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(*folders):
    """Return the files of a clone, without those that Python or an editor leaves there."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if is_source(path)}


def is_source(path):
    return not {"__pycache__", ".ipynb_checkpoints", ".hypothesis"} & set(path.parts)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    # Everything needed is installed, so without isolation nothing has to be downloaded.
    run("build", "--no-isolation", "--outdir", folder)
    return folder


@pytest.fixture(scope="module")
def metadata(built):
    with zipfile.ZipFile(built / WHEEL) as wheel:
        (path,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(wheel.read(path))


def test_nothing_but_the_two(built):
    assert {path.name for path in built.iterdir()} == {WHEEL, SDIST}


def test_wheel_holds_the_package(built):
    """The wheel has the whole package, its licence, and nothing else."""
    with zipfile.ZipFile(built / WHEEL) as wheel:
        held = set(wheel.namelist())
    about = f"gradcheck_magic-{__version__}.dist-info/"
    described = {about + name for name in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE")}
    assert held == files("gradcheck_magic") | described


def test_sdist_holds_what_the_tests_want(built):
    """The sdist has everything that a clone has, except the files for developers only."""
    with tarfile.open(built / SDIST) as archive:
        held = {member.name.partition("/")[2] for member in archive if member.isfile()}
    beside = {
        "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "pyproject.toml",
    }  # fmt: skip
    of_the_format = {"PKG-INFO", ".gitignore"}
    folders = files("gradcheck_magic", "tests", "notebooks", "binder")
    assert held == folders | beside | of_the_format


def test_twine_accepts_it(built):
    checked = run("twine", "check", "--strict", built / WHEEL, built / SDIST)
    assert checked.count("PASSED") == 2


def test_long_description_stands_alone(metadata):
    """No link is relative to the repository, which would lead nowhere on PyPI."""
    links = re.findall(r"\]\(([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", metadata.get_payload())
    assert links
    for link in map("".join, links):
        assert link.startswith(("https://", "#"))
        if "/notebooks/" in link and "mybinder" not in link:
            assert f"/v{__version__}/notebooks/" in link
            assert (ROOT / link.partition(f"/v{__version__}/")[2]).exists()
            assert ("/blob/" in link) == link.endswith((".ipynb", ".md"))


def test_changelog_is_dated():
    """The first entry of the changelog is this version, with its date."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.search(r"^## (\S+), \d{4}-\d\d-\d\d$", changelog, flags=re.MULTILINE)
    assert version[1] == __version__

"""The files from which Binder installs; `binder/verify` installs from them and opens a browser."""

import importlib
import json
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest
from needed import require
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

require("jupyterlab")

ROOT = Path(__file__).parents[3]
BINDER = ROOT / "binder"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCHEMAS = Path(sys.prefix, "share", "jupyter", "lab", "schemas")
TOO_HEAVY = {"jax", "torch"}

IMPORT = re.compile(r"^\s*(?:import|from) (\w+)", re.MULTILINE)
WRITTEN = re.compile(r"^%%writefile (\w+)\.py")


def lines(name):
    """Return the lines of a file in binder, without comments."""
    text = (BINDER / name).read_text(encoding="utf-8")
    return re.sub(r"\s*#.*", "", text).split()


def pins(name):
    """Return the version of each package in a file in binder."""
    return dict(line.split("==") for line in lines(name))


def found(pattern):
    """Yield what the pattern finds in the code of the tutorials."""
    for path in ROOT.glob("notebooks/*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield from pattern.findall("".join(cell["source"]).lower())


@pytest.mark.parametrize("name", ["requirements.txt", "repo2docker.txt"])
def test_lock(name):
    """The lock has one version of each package, and no addresses."""
    for line in lines(name):
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)
    assert len(pins(name)) == len(lines(name))


def test_what_the_tutorials_need():
    """The lock has all packages that they need, in supported versions, except the heavy ones."""
    lock = pins("requirements.txt")
    assert set(lines("requirements.in")) <= set(lock)
    for needed in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["parallel"]]:
        requirement = Requirement(needed)
        assert lock[requirement.name] in requirement.specifier, requirement
    ours = {"gradcheck_magic", *found(WRITTEN), *sys.stdlib_module_names}
    assert set(found(IMPORT)) - ours - TOO_HEAVY <= set(lock)
    assert not TOO_HEAVY & set(lock)


def test_nothing_twice():
    """Binder's own packages keep their versions: a second one would be downloaded and stored."""
    lock, there = pins("requirements.txt"), pins("repo2docker.txt")
    assert {name: lock[name] for name in lock.keys() & there} == {
        name: there[name] for name in lock.keys() & there
    }
    # Binder already has what JupyterLab needs.
    assert {"jupyterlab", "ipywidgets", "ipykernel"} <= lock.keys() & there


def test_python():
    """The lock is made for Binder's Python, which is one that the package supports."""
    version = (BINDER / "runtime.txt").read_text(encoding="utf-8").strip().removeprefix("python-")
    assert version in SpecifierSet(PROJECT["requires-python"])
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
    command = (BINDER / "requirements.txt").read_text(encoding="utf-8").partition("==")[0]
    assert f"--python-version {version} " in command


@pytest.mark.parametrize("name", ["postBuild", "start", "verify"])
def test_run_bit(name):
    assert os.access(BINDER / name, os.X_OK)


def test_settings():
    """JupyterLab knows each setting and accepts its value."""
    validator = importlib.import_module("jsonschema").Draft7Validator
    overrides = json.loads((BINDER / "overrides.json").read_text(encoding="utf-8"))
    assert "binder/overrides.json" in (BINDER / "postBuild").read_text(encoding="utf-8")
    for plugin, settings in overrides.items():
        package, _, name = plugin.partition(":")
        schema = json.loads((SCHEMAS / package / f"{name}.json").read_text(encoding="utf-8"))
        assert settings.keys() <= schema["properties"].keys()
        validator(schema).validate(settings)

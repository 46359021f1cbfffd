"""Packages that only some tests need."""

import importlib.util
import os

import pytest


def require(*packages, hint="pip install -e '.[test]'"):
    """Skip the file that needs them; but where everything should be there, it is an error."""
    for package in packages:
        if importlib.util.find_spec(package) is None and not os.environ.get("CI"):
            pytest.skip(f"{package} is missing: {hint}", allow_module_level=True)

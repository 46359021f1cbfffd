"""Packages that only some tests need."""

import importlib.util
import os

import pytest


def require(*packages, hint="pip install -e '.[slow]'"):
    """Skip a test file if a package is missing; in CI, importing the package then fails."""
    for package in packages:
        if importlib.util.find_spec(package) is None and not os.environ.get("CI"):
            pytest.skip(f"{package} is missing: {hint}", allow_module_level=True)

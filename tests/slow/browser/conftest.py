"""One browser and one Jupyter server for all tests of this folder.

Starting them takes longer than most of the tests. They are closed after the last of these: while
Playwright runs in a process, nothing else there can use asyncio, which running notebooks needs.
"""

import importlib

import pytest
from lab_server import lab_server


@pytest.fixture(scope="package")
def browser():
    """Yield Chromium; if it is missing, tests are skipped, or fail in CI."""
    # Imported here, so that only the tests that use it are skipped without it.
    with importlib.import_module("browser").chromium() as context:
        yield context


@pytest.fixture
def page(browser):
    """Yield a new page, and close it afterwards."""
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture(scope="package")
def server(browser, tmp_path_factory):
    """Yield a Jupyter server with its own folder and user, once there is a browser."""
    with lab_server(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="package")
def elsewhere(browser, tmp_path_factory):
    """Yield another user's server, which trusts none of our notebooks and has a dark theme."""
    with lab_server(tmp_path_factory.mktemp("elsewhere"), "JupyterLab Dark") as server:
        yield server


@pytest.fixture(scope="package")
def executed(tmp_path_factory):
    """Return the path of the notebook with three checks, executed."""
    return importlib.import_module("exports").execute(tmp_path_factory.mktemp("executed"))

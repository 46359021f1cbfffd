"""One browser and one Jupyter server for all tests of this folder.

To start them takes longer than most of the tests. They are gone after the last of these: while
Playwright runs in a process, nothing else there can use asyncio, as what runs notebooks does.
"""

import importlib

import pytest
from lab_server import lab_server


@pytest.fixture(scope="package")
def browser():
    """Chromium; without it, and where everything should be there, that is an error."""
    # Imported here, for only who asks for it is skipped without it.
    with importlib.import_module("browser").chromium() as context:
        yield context


@pytest.fixture
def page(browser):
    """A new page, closed afterwards."""
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture(scope="package")
def server(browser, tmp_path_factory):
    """A Jupyter server with a folder and a user of its own, once there is a browser."""
    with lab_server(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="package")
def elsewhere(browser, tmp_path_factory):
    """The server of somebody else, who trusts none of our notebooks and likes it dark."""
    with lab_server(tmp_path_factory.mktemp("elsewhere"), "JupyterLab Dark") as server:
        yield server


@pytest.fixture(scope="package")
def executed(tmp_path_factory):
    """The notebook with three checks, executed."""
    return importlib.import_module("exports").execute(tmp_path_factory.mktemp("executed"))

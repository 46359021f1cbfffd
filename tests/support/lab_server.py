"""A real Jupyter server for the browser tests, independent of the user's own settings."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
# Seconds until a test gives up waiting: far more than needed, even on a busy machine.
PATIENCE = 180

# The system gives ports from 32768 on to programs that ask for any, such as another test's kernel.
PORTS = range(10_000, 32_768)

# Where Jupyter keeps a user's files. It still finds the kernels, because it also looks for them
# next to the Python that runs the server.
DIRECTORIES = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}
# Otherwise JupyterLab asks about news, in a window in front of the notebook.
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}


@dataclass(frozen=True)
class LabServer:
    """A running server.

    Attributes
    ----------
    folder : Path
        The folder that it serves.
    port : int
        The port on which it listens.
    token : str
        The token that it requires.
    """

    folder: Path
    port: int
    token: str

    def url(self, path: str) -> str:
        """Return the address of a page, without anything that was open on an earlier visit."""
        return f"http://{HOST}:{self.port}/{path}?token={self.token}&reset"

    def wait_for_kernel(self) -> None:
        """Wait until a page is connected to a kernel that is ready."""
        wait_until("a kernel is ready", lambda: any(map(_is_ready, self._kernels())))

    def shut_down_kernels(self) -> None:
        """Shut all kernels down, and wait until they are gone."""
        for session in self._sessions():
            self._answer("DELETE", f"/api/sessions/{session['id']}")
        wait_until("all kernels are gone", lambda: not self._sessions())

    def is_up(self) -> bool:
        """Return whether the server answers."""
        try:
            return bool(self._answer("GET", "/api"))
        except OSError:
            return False

    def _kernels(self) -> list[dict[str, Any]]:
        # /api/kernels fails while a kernel is starting.
        return [session["kernel"] for session in self._sessions()]

    def _sessions(self) -> list[dict[str, Any]]:
        sessions: list[dict[str, Any]] = json.loads(self._answer("GET", "/api/sessions"))
        return sessions

    def _answer(self, method: str, path: str) -> bytes:
        with closing(HTTPConnection(HOST, self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, headers={"Authorization": f"token {self.token}"})
            response = connection.getresponse()
            body = response.read()
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise ConnectionError(f"{method} {path}: {response.status} {body.decode()}")
        return body


@contextmanager
def lab_server(home: Path, theme: str = "JupyterLab Light") -> Iterator[LabServer]:
    """Start a server with JupyterLab and Notebook 7, and stop it at the end.

    Parameters
    ----------
    home : Path
        A new folder for the notebooks, the settings, and the signatures of trusted notebooks.
    theme : str
        The theme of JupyterLab.
    """
    server = LabServer(home / "notebooks", free_port(), secrets.token_hex())
    server.folder.mkdir(parents=True)
    _write_settings(home, theme)
    with running(server, sys.executable, environment(home), home / "server.log"):
        yield server


@contextmanager
def running(
    server: LabServer, python: str, variables: dict[str, str], log: Path
) -> Iterator[LabServer]:
    """Start a server with the JupyterLab of the given Python, and stop it at the end."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            _command(server, python),
            env={**variables, "JUPYTER_TOKEN": server.token},
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_until("the server answers", lambda: is_running(process, log) and server.is_up())
        yield server
    finally:
        stop(process)


def wait_until(what: str, condition: Callable[[], object]) -> None:
    """Return as soon as a condition is met; raise `TimeoutError` if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not after {PATIENCE} s: {what}.")
        time.sleep(0.05)


def environment(home: Path) -> dict[str, str]:
    """Return an environment in which a Jupyter user's files are in a folder of their own."""
    ours = {name: str(home / folder) for name, folder in DIRECTORIES.items()}
    others = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    path = os.pathsep.join(filter(None, [hiding(home), os.environ.get("PYTHONPATH")]))
    return {**others, **ours, "PYTHONPATH": path}


def hiding(home: Path) -> str:
    """Return a PYTHONPATH that hides a package which takes seconds to import.

    The package handles addresses with characters beyond ASCII; jsonschema, which every server and
    every reader of notebooks uses, works without it.
    """
    folder = home / "without"
    folder.mkdir(exist_ok=True)
    (folder / "rfc3987_syntax.py").write_text("raise ImportError")
    return str(folder)


def _command(server: LabServer, python: str) -> list[str]:
    return [
        python, "-m", "jupyterlab", "--no-browser", "--allow-root",
        f"--ServerApp.ip={HOST}", f"--ServerApp.port={server.port}",
        # The tests would not find it on another port.
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={server.folder}",
    ]  # fmt: skip


def _write_settings(home: Path, theme: str) -> None:
    folder = home / DIRECTORIES["JUPYTERLAB_SETTINGS_DIR"] / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True)
    (folder / "notification.jupyterlab-settings").write_text(json.dumps(NO_NEWS))
    (folder / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))


def free_port() -> int:
    """Return a free port, which the system gives to no other program."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as listener, suppress(OSError):
            listener.bind((HOST, port))
            return port


def _is_ready(kernel: dict[str, Any]) -> bool:
    return kernel["execution_state"] == "idle" and kernel["connections"] > 0


def is_running(process: subprocess.Popen[bytes], log: Path) -> bool:
    """Return True; if the server has ended, raise an error with the contents of its log."""
    if process.poll() is not None:
        raise RuntimeError(f"The server did not start:\n{log.read_text()}")
    return True


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process, and wait until it is gone."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

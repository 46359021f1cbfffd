"""A real Jupyter server for the browser tests, untouched by whoever runs them."""

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
# Seconds until a test gives up waiting: far more than it takes, even on a busy machine.
PATIENCE = 180

# Those from 32768 on go to whoever asks for any, as the kernels of another test do meanwhile.
PORTS = range(10_000, 32_768)

# Where Jupyter keeps what belongs to a user. Its kernels are found all the same: these are looked
# for beside the Python that runs the server, too.
DIRECTORIES = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}
# Else JupyterLab asks about news, in front of the notebook.
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}


@dataclass(frozen=True)
class LabServer:
    """A running server.

    Attributes
    ----------
    folder : Path
        What it serves.
    port : int
        Where it listens.
    token : str
        What it asks for.
    """

    folder: Path
    port: int
    token: str

    def url(self, path: str) -> str:
        """Return the address of a page; one that opens nothing else from an earlier visit."""
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
        """Whether the server answers."""
        try:
            return bool(self._answer("GET", "/api"))
        except OSError:
            return False

    def _kernels(self) -> list[dict[str, Any]]:
        # Not from /api/kernels, which fails while a kernel is half started.
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
        A new folder, for what is served, for settings, and for the signatures of trusted notebooks.
    theme : str
        How JupyterLab looks.
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
    """Start a server with the JupyterLab of this Python, and stop it at the end."""
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
    """Return an environment in which what belongs to a Jupyter user is in a folder of its own."""
    ours = {name: str(home / folder) for name, folder in DIRECTORIES.items()}
    others = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    return {**others, **ours, "PYTHONPATH": _python_path(home)}


def _python_path(home: Path) -> str:
    """Return where Python finds everything but a package that takes seconds to import.

    It is for addresses with characters beyond ASCII; jsonschema, a part of every server and of
    whatever reads notebooks, does without it.
    """
    folder = home / "without"
    folder.mkdir(exist_ok=True)
    (folder / "rfc3987_syntax.py").write_text("raise ImportError")
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def _command(server: LabServer, python: str) -> list[str]:
    return [
        python, "-m", "jupyterlab", "--no-browser", "--allow-root",
        f"--ServerApp.ip={HOST}", f"--ServerApp.port={server.port}",
        # Somewhere else nobody would find it.
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={server.folder}",
    ]  # fmt: skip


def _write_settings(home: Path, theme: str) -> None:
    folder = home / DIRECTORIES["JUPYTERLAB_SETTINGS_DIR"] / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True)
    (folder / "notification.jupyterlab-settings").write_text(json.dumps(NO_NEWS))
    (folder / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))


def free_port() -> int:
    """Return a port on which nobody listens, and which the system gives to no other program."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as listener, suppress(OSError):
            listener.bind((HOST, port))
            return port


def _is_ready(kernel: dict[str, Any]) -> bool:
    return kernel["execution_state"] == "idle" and kernel["connections"] > 0


def is_running(process: subprocess.Popen[bytes], log: Path) -> bool:
    """Return True; raise an error with what is in its log if a server has ended."""
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

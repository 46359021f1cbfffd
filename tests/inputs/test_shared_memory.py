"""Arrays whose memory is a file, or belongs to several processes, are not moved in place."""

import ctypes
import mmap
import multiprocessing
import os
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest
from needed import require

from gradcheck_magic import InputError, check_gradients, step_curve
from gradcheck_magic._inputs import shared_memory
from gradcheck_magic._inputs.shared_memory import in_shared_memory

require("torch")
import torch  # noqa: E402

NUMBERS = np.array([1.0, 2.0, 3.0])
SENTENCE = (
    "`cost` reads `W` from the notebook, where it would be perturbed in place, but its memory is a "
    "file or shared with other processes: make it an argument of the function, or check a copy "
    "that the function reads."
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.npy"
    np.save(path, NUMBERS)
    os.utime(path, (1, 1))
    return path


def mapped(file, mode="r+"):
    return np.load(file, mmap_mode=mode)


def of_mmap(file, access=mmap.ACCESS_WRITE):
    with file.open("r+b") as opened:
        # A header of 128 bytes comes before the numbers.
        return np.frombuffer(mmap.mmap(opened.fileno(), 0, access=access), offset=128)


def of_multiprocessing(kind):
    shared = kind("d", NUMBERS.tolist())
    return np.frombuffer(getattr(shared, "get_obj", lambda: shared)())


def of_file_in_torch(file, *, shared):
    # It reads the header as numbers.
    return torch.from_file(str(file), shared=shared, size=19, dtype=torch.float64)[16:].numpy()


SHARED = {
    "memmap": mapped,
    "view": lambda file: mapped(file)[1:],
    "transposed": lambda file: mapped(file).reshape(3, 1).T,
    "plain view": lambda file: np.asarray(mapped(file)),
    "mmap": of_mmap,
    "buffer": lambda file: np.ndarray((3,), buffer=of_mmap(file).base),
    "anonymous": lambda _: np.frombuffer(mmap.mmap(-1, 24)),
    "RawArray": lambda _: of_multiprocessing(multiprocessing.RawArray),
    "Array": lambda _: of_multiprocessing(multiprocessing.Array),
    "as_array": lambda _: np.ctypeslib.as_array(multiprocessing.RawArray("d", 3)),
    "torch": lambda _: torch.ones(3).share_memory_().numpy(),
    "file in torch": lambda file: of_file_in_torch(file, shared=True),
}
PRIVATE = {
    "plain": lambda _: NUMBERS.copy(),
    "empty": lambda _: np.zeros(0),
    "copy on write": lambda file: mapped(file, "c"),
    "view, copy on write": lambda file: np.asarray(mapped(file, "c"))[1:],
    "copy": lambda file: np.array(mapped(file)),
    "subclass": lambda file: mapped(file).copy(),
    "sum": lambda file: mapped(file) + 1,
    "bytes": lambda _: np.frombuffer(bytearray(24)),
    "ctypes": lambda _: np.ctypeslib.as_array((ctypes.c_double * 3)()),
    "torch": lambda _: torch.ones(3).numpy(),
}
# What only Linux can tell: who owns this memory is unknown.
LINUX = {
    "tensor of a memmap": lambda file: torch.from_numpy(mapped(file)).numpy(),
    "DLPack": lambda _: np.from_dlpack(torch.ones(3).share_memory_()),
}
on_linux = pytest.mark.skipif(
    not shared_memory.MAPPINGS.exists(), reason="the system lists no mappings"
)


@pytest.fixture(params=[pytest.param("by mapping", marks=on_linux), "by owner"])
def way(request, monkeypatch):
    """The two ways to find out: ask Linux, or ask who owns the memory."""
    if request.param == "by owner":
        monkeypatch.setattr(shared_memory, "MAPPINGS", Path("/no/such/file"))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", SHARED)
def test_shared(kind, file):
    array = SHARED[kind](file)
    assert list(in_shared_memory([("other", np.ones(2)), ("W", array)])) == ["W"]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", PRIVATE)
def test_private(kind, file):
    assert list(in_shared_memory([("W", PRIVATE[kind](file))])) == []


@on_linux
@pytest.mark.parametrize("kind", LINUX)
def test_owner_unknown(kind, file):
    assert list(in_shared_memory([("W", LINUX[kind](file))])) == ["W"]


@pytest.mark.usefixtures("way")
def test_shared_memory_of_processes():
    memory = SharedMemory(create=True, size=24)
    try:
        array = np.ndarray((3,), buffer=memory.buf)
        assert list(in_shared_memory([("W", array)])) == ["W"]
        del array
    finally:
        memory.close()
        memory.unlink()


class Address(int):
    """An address that counts how often it is compared with another."""

    compared = 0

    def __lt__(self, other):
        Address.compared += 1
        return int(self) < int(other)

    def __gt__(self, other):
        Address.compared += 1
        return int(self) > int(other)


def test_many_arrays_and_mappings(monkeypatch, tmp_path):
    """An array is compared with few of a thousand mappings, and only with shared ones."""
    maps, n = tmp_path / "maps", 1000
    lines = [f"{k:03x}0-{k:03x}8 rw-{'ps'[k % 2]} 0" for k in range(n)]
    maps.write_text("\n".join(lines))
    monkeypatch.setattr(shared_memory, "MAPPINGS", maps)
    monkeypatch.setattr(shared_memory, "byte_bounds", lambda bounds: map(Address, bounds))
    monkeypatch.setattr(Address, "compared", 0)
    inside = [(f"W{k}", (16 * k + 7, 16 * k + 9)) for k in range(n)]
    between = [(f"b{k}", (16 * k + 8, 16 * k + 16)) for k in range(n)]
    found = list(in_shared_memory([*inside, *between]))
    assert found == [f"W{k}" for k in range(1, n, 2)]
    assert 0 < Address.compared < 2 * n * 12


CHECKS = {
    "check": lambda W, cost: check_gradients({"W": W}, {"dW": 2 * np.array(W)}, cost),
    "points": lambda W, cost: check_gradients(
        {"W": W}, lambda p: {"W": 2 * p["W"]}, cost, points=2
    ),
    "call": lambda W, cost: check_gradients({"W": W}, {"W": 2 * W}, cost, call="closure"),
    "scan": lambda W, cost: check_gradients({"W": W}, {"W": 2 * W}, cost, mode="scan"),
    "curve": lambda W, cost: step_curve({"W": W}, {"W": 2 * W}, cost, "W", 0),
}


@pytest.mark.parametrize("way", CHECKS)
def test_file_stays_as_it_is(way, file):
    """A cost that reads an array in a file is refused; a cost with arguments gets copies."""
    before = file.read_bytes()
    W = mapped(file)
    seen = []

    def cost():
        seen.append(W.tobytes())
        return float(W @ W)

    with pytest.raises(InputError) as caught:
        CHECKS[way](W, cost)
    assert str(caught.value) == SENTENCE
    assert set(seen) <= {NUMBERS.tobytes()}
    assert check_gradients({"W": W}, {"dW": 2 * W}, lambda params: float(params["W"] @ params["W"]))
    W.flush()
    assert file.read_bytes() == before
    assert file.stat().st_mtime == 1


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_copies_are_moved(mode, file):
    """A copy in memory is moved as any array, and the file is not changed."""
    before = file.read_bytes()
    W = mapped(file, mode)
    W = W if mode == "c" else np.array(W)
    assert check_gradients({"W": W}, {"dW": 2 * W}, lambda: float(W @ W)).call == "closure"
    assert np.array_equal(W, NUMBERS)
    assert (file.read_bytes(), file.stat().st_mtime) == (before, 1)


def test_fixed_parameter_in_a_file(file):
    """A parameter that is not checked is not moved, so it may be in a file."""
    W, b = mapped(file), np.ones(3)
    assert check_gradients([W, b], [2 * W, 2 * b], lambda: float(W @ W + b @ b), only=["params[1]"])
    assert file.stat().st_mtime == 1

"""Who else may write to a file."""

import os
import sys
from types import SimpleNamespace

import pytest

from gradcheck_magic._notebook import writers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")

ME, ANNA, STRANGER = 1000, 1001, 4711
# The users, with the number of their group, and the members that are listed in each group.
USERS = {"root": (0, 0), "operator": (11, 0), "me": (ME, ME), "anna": (ANNA, 100)}
GROUPS = {0: ("root", []), ME: ("me", []), 100: ("users", []), 200: ("lab", ["me", "anna"]),
          300: ("mine", ["me", "root"])}  # fmt: skip
ROWS = {
    "mine alone": (ME, ME, 0o600, None),
    "read by everybody": (ME, 100, 0o644, None),
    "root's": (0, 0, 0o644, None),
    "root's, with its group": (0, 0, 0o664, None),
    "my own group, as on many machines": (ME, ME, 0o664, None),
    "a folder of mine": (ME, ME, 0o2775, None),
    "a group of me and root": (ME, 300, 0o664, None),
    "a group without members, as in a container": (ME, 999, 0o664, None),
    "everybody": (ME, ME, 0o666, "everybody"),
    "everybody, by the bit alone": (ME, ME, 0o602, "everybody"),
    "a folder such as /tmp": (0, 0, 0o1777, "everybody"),
    "somebody else's": (ANNA, ANNA, 0o600, "the user anna"),
    "somebody unknown": (STRANGER, ME, 0o600, f"the user {STRANGER}"),
    "a group with others": (ME, 200, 0o664, "the group lab"),
    "a group that is the first of others": (ME, 100, 0o664, "the group users"),
}


@pytest.fixture
def machine(monkeypatch):
    """A machine with these users and groups."""
    people = [SimpleNamespace(pw_name=n, pw_uid=u, pw_gid=g) for n, (u, g) in USERS.items()]
    by_number = {user.pw_uid: user for user in people}
    groups = {n: SimpleNamespace(gr_name=name, gr_mem=m) for n, (name, m) in GROUPS.items()}
    monkeypatch.setattr(os, "geteuid", lambda: ME)
    monkeypatch.setattr(writers.pwd, "getpwall", lambda: people)
    monkeypatch.setattr(writers.pwd, "getpwuid", by_number.__getitem__)
    monkeypatch.setattr(writers.grp, "getgrgid", groups.__getitem__)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("user", "group", "mode", "writer"), ROWS.values(), ids=ROWS)
def test_writer(user, group, mode, writer):
    status = SimpleNamespace(st_uid=user, st_gid=group, st_mode=mode)
    assert writers.writer_besides_me(SimpleNamespace(stat=lambda: status)) == writer

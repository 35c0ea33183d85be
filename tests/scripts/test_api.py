"""The page of names, and that all names say what they are."""

import importlib
import types
from pathlib import Path
from typing import NamedTuple

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def api(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("api")


class Said(NamedTuple):
    """Says what it is | so.

    And more.
    """

    x: int


class Unsaid(NamedTuple):
    x: int


def quiet():
    pass


def test_every_public_name_says_what_it_is(api):
    modules = [importlib.import_module(f"ae_jax.{name}") for name in api.MODULES]
    assert [fault for module in modules for fault in api.silent(module)] == []
    assert all(len(api.public(module)) > 0 for module in modules)


def test_the_page_has_the_first_lines(api):
    module = types.ModuleType("toy", "A toy.\n\nMore.")
    module.__all__ = ["Said", "Unsaid", "quiet", "NUMBER"]
    vars(module).update(Said=Said, Unsaid=Unsaid, quiet=quiet, NUMBER=3)
    assert api.silent(module) == ["toy.Unsaid has no docstring", "toy.quiet has no docstring"]
    assert api.page([module]).partition("## ")[2] == (
        "toy\n\nA toy.\n\n| name | |\n|---|---|\n| `NUMBER` |  |\n| `quiet` |  |\n"
        "| `Said` | Says what it is \\| so. |\n| `Unsaid` |  |\n"
    )


def test_without_a_list_a_module_has_what_it_and_its_own_modules_define(api):
    package = types.ModuleType("toy")
    own, inner, other = (types.FunctionType(quiet.__code__, {}, "f") for _ in range(3))
    own.__module__, inner.__module__, other.__module__ = "toy", "toy.part", "toys"
    vars(package).update(own=own, inner=inner, other=other, _hidden=own, NUMBER=3)
    assert list(api.public(package)) == ["own", "inner"]


def test_a_page_that_differs_is_found(api, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "PAGE", tmp_path / "api.md")
    monkeypatch.setattr(api, "MODULES", ("corruptions",))
    with pytest.raises(SystemExit, match=r"docs/api\.md differs"):
        api.main(["--check"])
    assert not (tmp_path / "api.md").exists()
    api.main([])
    api.main(["--check"])
    assert "`masking` | Sets each number to 0" in (tmp_path / "api.md").read_text()

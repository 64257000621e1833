"""What installed packages offer: found by name, checked, and blamed by the package's name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mainstem import plugins
from mainstem.errors import PluginError

GROUP = "mainstem.engines"
Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package: its name, its module's text, and its entry points in `GROUP`."""

    def installed(package: str, text: str, points: str) -> None:
        place = tmp_path / package
        info = place / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (place / f"{package}.py").write_text(text)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
        monkeypatch.syspath_prepend(str(place))

    return installed


def as_it_is(offered: Any) -> Any:
    return offered


def test_an_entry_point_is_loaded_by_its_name(install: Install) -> None:
    install("plugin_works", "def engine(): return 42", "fast = plugin_works:engine")
    found = plugins.load_factory(GROUP, "fast")
    assert found is not None and found() == 42
    assert plugins.offered(GROUP, ["duckdb"]) == ["duckdb", "fast"]


def test_a_name_that_no_package_offers() -> None:
    assert plugins.load(GROUP, "absent", as_it_is) is None


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import absent_library", "ModuleNotFoundError: No module named 'absent_library'"),
        ("x = 1", "AttributeError: module 'plugin_broken' has no attribute 'engine'"),
        ("engine = 3", "TypeError: a function or a class is expected; got 3"),
    ],
)
def test_a_broken_package_is_named_with_the_cause(
    install: Install, monkeypatch: pytest.MonkeyPatch, text: str, cause: str
) -> None:
    monkeypatch.delitem(sys.modules, "plugin_broken", raising=False)
    install("plugin_broken", text, "slow = plugin_broken:engine")
    with pytest.raises(PluginError, match="the package 'plugin_broken' offers 'slow'") as caught:
        plugins.load_factory(GROUP, "slow")
    assert caught.value.got == cause
    assert caught.value.where == 'entry point slow = "plugin_broken:engine" in the group mainstem.engines'


def test_two_packages_of_one_name_are_refused(install: Install) -> None:
    install("plugin_one", "", "same = plugin_one:engine")
    install("plugin_two", "", "same = plugin_two:engine")
    with pytest.raises(PluginError, match="several packages offer 'same'") as caught:
        plugins.load(GROUP, "same", as_it_is)
    assert caught.value.got == "plugin_one (plugin_one:engine), plugin_two (plugin_two:engine)"


def test_a_broken_package_does_not_hinder_another(install: Install) -> None:
    install("plugin_bad", "1 / 0", "bad = plugin_bad:engine")
    install("plugin_good", "engine = dict", "good = plugin_good:engine")
    assert plugins.load(GROUP, "good", as_it_is) is dict


def test_a_factory_that_fails_is_blamed_on_its_package(install: Install) -> None:
    install("plugin_fails", "def engine(settings): raise OSError('no cluster')", "far = plugin_fails:engine")
    factory = plugins.load_factory(GROUP, "far")
    assert factory is not None
    with pytest.raises(PluginError, match="the package 'plugin_fails' offers 'far'") as caught:
        factory(None)
    assert caught.value.got == "OSError: no cluster"


def test_an_object_that_lacks_a_part_is_refused(install: Install) -> None:
    install("plugin_part", "class Half: fit = None", "half = plugin_part:Half")
    assert plugins.load(GROUP, "half", plugins.having("fit")).fit is None
    with pytest.raises(PluginError, match="plugin_part") as caught:
        plugins.load(GROUP, "half", plugins.having("fit", "settle"))
    assert "has no settle" in str(caught.value.got)

"""The set-up behind make: clear lines for what is missing, no work twice, and never a half-made environment."""

from __future__ import annotations

import ast
import importlib
import runpy
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


@pytest.fixture(scope="module")
def modules() -> Iterator[SimpleNamespace]:
    """The modules of scripts/, imported as the script imports them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        names = ("checks", "source", "steps", "environment")
        loaded: dict[str, ModuleType] = {name: importlib.import_module(name) for name in names}
        yield SimpleNamespace(**loaded)
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small stand-in for the project's folder: only what decides about the environment."""
    root = tmp_path / "project"
    for name in ("setup.py", "setup.cfg", "scripts/source.py", "scripts/steps.py", "interfaces/a_msgs/msg/A.msg"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


@pytest.fixture
def setting(modules: SimpleNamespace, project: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The setting of that project with ROS 2 Kilted from pip."""
    for name in ("ROS_DISTRO", "AMENT_PREFIX_PATH"):
        monkeypatch.delenv(name, raising=False)
    return modules.source.find_setting(project, project / ".venv")


@pytest.fixture
def done(modules: SimpleNamespace, setting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand-ins for the work of the steps; the list says which were done."""
    names: list[str] = []
    for name in ("install_base", "build_interfaces", "install_packages", "install_train"):
        monkeypatch.setattr(modules.steps, name, lambda _, name=name: names.append(name))
    monkeypatch.setattr(modules.checks, "check_machine", lambda *_, **__: None)
    return names


ALL = ["install_base", "build_interfaces", "install_packages"]


def test_an_old_python_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 18, "final", 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.10 to 3\.14.*make PYTHON=python3\.12"):
        runpy.run_path(str(SCRIPTS / "setup_env.py"))


def test_the_version_check_is_readable_for_old_pythons() -> None:
    """Nothing newer than Python 3.6 stands in the file that says that Python is too old."""
    source = (SCRIPTS / "setup_env.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))
    assert "annotations" not in source


def check(modules: SimpleNamespace, setting: SimpleNamespace) -> None:
    modules.checks.check_machine(setting, fresh=True, build=True)


def test_a_missing_compiler_is_one_line(
    modules: SimpleNamespace, setting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(modules.checks.SetupError, match=r"no C compiler.*sudo apt install build-essential"):
        check(modules, setting)


def test_missing_headers_are_one_line(
    modules: SimpleNamespace, setting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(modules.checks, "_check_compiler", lambda: None)
    monkeypatch.setattr(modules.checks.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(
        modules.checks.SetupError, match=r"headers of python3\.\d+ are missing.*apt install python3\.\d+-dev"
    ):
        check(modules, setting)


def test_a_missing_venv_module_is_one_line(
    modules: SimpleNamespace, setting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules.checks, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(modules.checks.SetupError, match=r"sudo apt install python3\.\d+-venv"):
        check(modules, setting)


def test_a_full_disk_is_one_line(
    modules: SimpleNamespace, setting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    with pytest.raises(modules.checks.SetupError, match=r"1\.0 GB free.*needs 2\.\d GB"):
        check(modules, setting)


def test_another_machine_than_the_wheels_are_for_is_one_line(
    modules: SimpleNamespace, setting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules.checks.platform, "machine", lambda: "aarch64")
    with pytest.raises(modules.checks.SetupError, match="Linux aarch64: install ROS 2 and source it"):
        check(modules, setting)


def test_an_unknown_distribution_is_one_line(
    modules: SimpleNamespace, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", "humble")
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    with pytest.raises(modules.checks.SetupError, match="ROS_DISTRO=humble: pip has kilted and jazzy"):
        modules.source.find_setting(project, project / ".venv")


@pytest.mark.parametrize(
    ("log", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("NewConnectionError(...): Failed to establish a new connection", "see to the network"),
        ("error: something else", "exit status 7; all of its output is in"),
    ],
)
def test_a_failed_command_shows_its_end_and_what_to_do(
    modules: SimpleNamespace, setting: SimpleNamespace, log: str, advice: str
) -> None:
    """Its output is hidden until then."""
    setting.state.mkdir(parents=True)
    with pytest.raises(modules.checks.SetupError, match=advice) as error:
        modules.steps._run(setting, "probe", ["/bin/sh", "-c", f"echo '{log}'; exit 7"])
    assert log in str(error.value)


def test_variables_of_another_environment_do_not_leak_in(
    modules: SimpleNamespace, setting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    setting.state.mkdir(parents=True)
    modules.steps._run(setting, "probe", ["/bin/sh", "-c", 'test -z "$PYTHONPATH"'])


def test_the_paths_of_the_wheels_build_machine_are_repaired(modules: SimpleNamespace, setting: SimpleNamespace) -> None:
    file = setting.venv / "share" / "a_msgs" / "cmake" / "a.cmake"
    file.parent.mkdir(parents=True)
    include = "/opt/python/cp312-cp312/include/python3.12"
    site = "/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include"
    file.write_text(f'INCLUDES "{include};{site};/usr/include"')
    modules.steps._repair_cmake_files(setting)
    repaired = file.read_text()
    assert "/opt/python" not in repaired
    assert f"{setting.site_packages}/numpy/_core/include;/usr/include" in repaired


def test_a_second_call_does_nothing(modules: SimpleNamespace, setting: SimpleNamespace, done: list[str]) -> None:
    modules.environment._bring_up_to_date(setting, train=False)
    assert sorted(done) == sorted(ALL)
    modules.environment._bring_up_to_date(setting, train=False)
    assert len(done) == len(ALL)


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("setup.cfg", ["install_packages"]),
        ("setup.py", ["install_packages"]),
        ("interfaces/a_msgs/msg/A.msg", ["build_interfaces"]),
        ("interfaces/a_msgs/msg/New.msg", ["build_interfaces"]),
        ("scripts/steps.py", ALL),
    ],
)
def test_a_change_repeats_the_steps_that_depend_on_it(
    modules: SimpleNamespace, setting: SimpleNamespace, done: list[str], changed: str, again: list[str]
) -> None:
    modules.environment._bring_up_to_date(setting, train=False)
    done.clear()
    (setting.root / changed).write_text("new")
    modules.environment._bring_up_to_date(setting, train=False)
    assert sorted(done) == sorted(again)


@pytest.mark.parametrize("change", [{"distro": "jazzy"}, {"gpu": True}, {"sourced_prefixes": ("/opt/ros/kilted",)}])
def test_another_ros_or_machine_makes_it_anew(
    modules: SimpleNamespace, setting: SimpleNamespace, done: list[str], change: dict[str, object]
) -> None:
    modules.environment._bring_up_to_date(replace(setting, gpu=False), train=False)
    done.clear()
    modules.environment._bring_up_to_date(replace(setting, **{"gpu": False, **change}), train=False)
    assert sorted(done) == sorted(ALL)


def test_training_is_an_addition(modules: SimpleNamespace, setting: SimpleNamespace, done: list[str]) -> None:
    modules.environment._bring_up_to_date(setting, train=False)
    done.clear()
    modules.environment._bring_up_to_date(setting, train=True)
    assert done == ["install_train"]


def failing(error: BaseException, before: Callable[[], object] = lambda: None) -> Callable[[object], None]:
    def work(_: object) -> None:
        before()
        raise error

    return work


def test_an_interrupted_step_makes_the_next_run_start_afresh(
    modules: SimpleNamespace, setting: SimpleNamespace, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(modules.steps, "install_packages", failing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            modules.environment._bring_up_to_date(setting, train=False)
    leftover = setting.venv / "half"
    leftover.touch()
    done.clear()
    modules.environment._bring_up_to_date(setting, train=False)
    assert sorted(done) == sorted(ALL)
    assert not leftover.exists()


@pytest.mark.parametrize("touched", [False, True])
def test_a_failed_step_keeps_the_environment_only_if_it_changed_nothing(
    modules: SimpleNamespace, setting: SimpleNamespace, done: list[str], monkeypatch: pytest.MonkeyPatch, touched: bool
) -> None:
    """Without network a finished environment stays; packages that may be half installed do not."""
    modules.environment._bring_up_to_date(setting, train=False)
    setting.site_packages.mkdir(parents=True)
    (setting.root / "setup.cfg").write_text("new")
    change = (setting.site_packages / "half").mkdir if touched else lambda: None
    with monkeypatch.context() as patch:
        patch.setattr(modules.steps, "install_packages", failing(modules.checks.SetupError("no network"), change))
        with pytest.raises(modules.checks.SetupError, match="no network"):
            modules.environment._bring_up_to_date(setting, train=False)
    done.clear()
    modules.environment._bring_up_to_date(setting, train=False)
    assert sorted(done) == (sorted(ALL) if touched else ["install_packages"])


def test_an_environment_made_by_somebody_else_is_left_alone(
    modules: SimpleNamespace, setting: SimpleNamespace, done: list[str]
) -> None:
    theirs = setting.venv / "pyvenv.cfg"
    theirs.parent.mkdir()
    theirs.touch()
    with pytest.raises(modules.checks.SetupError, match="was not made by this set-up"):
        modules.environment._bring_up_to_date(setting, train=False)
    assert theirs.exists()
    assert done == []


def test_two_at_once_do_the_work_once(
    modules: SimpleNamespace, setting: SimpleNamespace, done: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        with modules.environment._lock(setting.venv):
            modules.environment._bring_up_to_date(setting, train=False)

    with modules.environment._lock(setting.venv):
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(0.2)
        assert done == []
    for thread in threads:
        thread.join(10)
    assert sorted(done) == sorted(ALL)
    assert "waiting for it" in capsys.readouterr().out

"""Set-up of .venv in steps, each done once and again only when something that it depends on has changed.

Every finished step leaves a stamp: a hash over all that the step depends on. A step that was killed half-way leaves a
mark by which the next run knows that nothing in the folder can be trusted, and starts afresh.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import checks
import steps
from checks import SetupError
from source import Setting, find_setting

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Step:
    """One step of the set-up: its name, its key (changes when it has to be done again) and the work."""

    name: str
    key: str
    work: Callable[[], None]


def main() -> int:
    """Bring the environment up to date.

    Returns:
        Exit status: 0 ready, 1 a reported error, 130 interrupted.
    """
    parser = argparse.ArgumentParser(description="Make the virtual environment of robot_vision ready.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="folder of the environment")
    parser.add_argument("--train", action="store_true", help="add what training needs (torch)")
    arguments = parser.parse_args()
    try:
        with _lock(arguments.venv):
            _bring_up_to_date(find_setting(ROOT, arguments.venv.absolute()), arguments.train)
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up: interrupted; the same command starts it again", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def _lock(venv: Path) -> Iterator[None]:
    """Hold the environment's lock, so that two commands started together do the set-up once."""
    try:
        file = venv.with_name(venv.name + ".lock").open("w", encoding="utf-8")
    except OSError as error:
        raise SetupError(f"cannot write beside {venv} ({error.strerror}): make the folder writable") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("set-up: another one is at work here; waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _bring_up_to_date(setting: Setting, train: bool) -> None:
    """Do the steps whose stamps are missing or old."""
    stamps = setting.state
    base = Step("base", setting.base_key(), lambda: steps.install_base(setting))
    later = [
        Step("interfaces", setting.interfaces_key(), lambda: steps.build_interfaces(setting)),
        Step("packages", setting.packages_key(), lambda: steps.install_packages(setting)),
    ]
    if train:
        later.append(Step("train", setting.packages_key("train"), lambda: steps.install_train(setting)))
    broken = (stamps / "working").exists()
    fresh = broken or not _is_done(base, stamps)
    todo = [step for step in later if fresh or not _is_done(step, stamps)]
    if not fresh and not todo:
        return
    checks.check_machine(setting, fresh=fresh, build=any(step.name == "interfaces" for step in todo))
    begin = time.monotonic()
    print(f"set-up: {setting.description}" + ("; takes about two minutes, once" if fresh else ""), flush=True)
    if fresh:
        _clear(setting.venv, stamps)
    with _marked(stamps, setting.site_packages):
        if fresh:
            _do([base], stamps)
        _do(todo, stamps)
    print(f"set-up: ready after {time.monotonic() - begin:.0f} s", flush=True)


def _is_done(step: Step, stamps: Path) -> bool:
    try:
        return (stamps / f"{step.name}.stamp").read_text(encoding="ascii") == step.key
    except OSError:
        return False


def _clear(venv: Path, stamps: Path) -> None:
    """Leave an empty folder for the new environment, but never remove one that was made by somebody else."""
    if venv.exists() and not stamps.is_dir() and any(venv.iterdir()):
        raise SetupError(f"{venv} was not made by this set-up: move it away, or remove it with: rm -r {venv}")
    shutil.rmtree(venv, ignore_errors=True)
    stamps.mkdir(parents=True)


@contextlib.contextmanager
def _marked(stamps: Path, site_packages: Path) -> Iterator[None]:
    """Keep the mark of work under way; it outlives the block only when packages may have been left half installed."""
    mark = stamps / "working"
    mark.touch()
    before = _changed(site_packages)
    try:
        yield
    except SetupError:
        if before is not None and _changed(site_packages) == before:
            mark.unlink()
        raise
    mark.unlink()


def _changed(folder: Path) -> int | None:
    return folder.stat().st_mtime_ns if folder.exists() else None


def _do(todo: list[Step], stamps: Path) -> None:
    """Do steps that do not depend on each other at the same time, and stamp each that succeeds."""
    for step in todo:
        (stamps / f"{step.name}.stamp").unlink(missing_ok=True)
    with ThreadPoolExecutor() as pool:
        running = [(step, pool.submit(step.work)) for step in todo]
    for step, work in running:
        work.result()
        (stamps / f"{step.name}.stamp").write_text(step.key, encoding="ascii")

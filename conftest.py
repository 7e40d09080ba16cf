"""Pytest options: --all-groups fails a run in which a group of tests did nothing, --stress adds the long tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

GROUPS = ("unit", "contract", "ros")
PASSED = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    parser.addoption("--all-groups", action="store_true", help=f"fail when one of {GROUPS} passed no test")
    parser.addoption("--stress", action="store_true", help="also run the long tests of faults and malformed input")


class _Count:
    """Counts the tests that passed, by group."""

    def __init__(self, passed: Counter[str]) -> None:
        self.passed = passed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed[Path(report.nodeid).parts[1]] += 1


def pytest_configure(config: pytest.Config) -> None:
    """Start counting."""
    config.addinivalue_line("markers", "stress: minutes of faults and malformed input, only run with --stress")
    config.stash[PASSED] = Counter()
    config.pluginmanager.register(_Count(config.stash[PASSED]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out, unless they are asked for."""
    if config.getoption("--stress"):
        return
    for item in items:
        if item.get_closest_marker("stress"):
            item.add_marker(pytest.mark.skip(reason='takes minutes: make test PYTEST_ARGS="--stress -m stress"'))


def _idle(config: pytest.Config) -> list[str]:
    return [group for group in GROUPS if not config.stash[PASSED][group]] if config.getoption("--all-groups") else []


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn a success with an idle group into a failure."""
    if exitstatus == pytest.ExitCode.OK and _idle(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which group was idle."""
    for group in _idle(config):
        terminalreporter.write_line(f"FAILED: no test of the group test/{group} passed in this run", red=True)

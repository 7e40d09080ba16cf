"""The README tells the truth about what is defined elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from robot_vision.cli.main import COMMANDS
from robot_vision.params import STAGES, Setting, settings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def row(stage: str, setting: Setting) -> str:
    """One line of the parameter table."""
    default = setting.default
    if isinstance(default, tuple):
        default = ", ".join(default) or "(empty)"
    limits = ", ".join(setting.choices)
    if setting.low is not None and setting.high is not None:
        limits = f"{setting.low:g} … {setting.high:g}"
    cells = [f"`{stage}.{setting.name}`", str(default), setting.unit, limits, "yes" if setting.live else "no"]
    return f"| {' | '.join([*cells, setting.description])} |"


def test_the_parameter_table_is_that_of_the_definitions() -> None:
    """Every setting with its default, range and meaning, in order, and none that does not exist."""
    wanted = [row(stage, setting) for stage, params in STAGES.items() for setting in settings(params)]
    shown = [line for line in README.splitlines() if re.match(rf"\| `({'|'.join(STAGES)})\.", line)]
    assert shown == wanted, "the table should be:\n" + "\n".join(wanted)


def test_every_make_target_and_command_that_it_names_exists() -> None:
    """`make …` and `robot_vision …` in the README can be typed."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets
    named = set(re.findall(r"^robot_vision ([a-z]+)", README, re.MULTILINE))
    assert named and named <= COMMANDS.keys()

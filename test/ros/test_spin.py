"""The Fast DDS profile is exported under the name that the installed distribution reads."""

from __future__ import annotations

import os

import pytest

from robot_vision.ros import fastdds_profile, spin
from robot_vision.shipped import shared_file

NEW, OLD = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"


@pytest.mark.parametrize(
    ("rclpy_version", "given", "expected"),
    [
        ("9.1.2", {}, {NEW: "shipped"}),
        ("7.1.6", {}, {OLD: "shipped"}),
        ("9.1.2", {NEW: "/mine.xml"}, {NEW: "/mine.xml"}),
        ("7.1.6", {OLD: "/mine.xml"}, {OLD: "/mine.xml"}),
        ("7.1.6", {NEW: "/mine.xml"}, {NEW: "/mine.xml", OLD: "/mine.xml"}),
        ("9.1.2", {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, {}),
    ],
)
def test_export(monkeypatch: pytest.MonkeyPatch, rclpy_version: str, given: dict, expected: dict) -> None:
    """Jazzy's Fast DDS knows the old name only; a profile under the new one must not leave it without any."""
    for name in (NEW, OLD, "FASTDDS_BUILTIN_TRANSPORTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(fastdds_profile.importlib.metadata, "version", lambda _: rclpy_version)
    spin.export_fastdds_profile()
    shipped = str(shared_file("config/fastdds.xml"))
    wanted = {name: shipped if value == "shipped" else value for name, value in expected.items()}
    assert {name: os.environ[name] for name in (NEW, OLD) if name in os.environ} == wanted

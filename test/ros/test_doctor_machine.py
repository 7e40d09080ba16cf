"""The doctor's checks of the machine, on folders and environments that are made up."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robot_vision.ros import doctor_machine, fastdds_profile
from robot_vision.ros.doctor_machine import (
    CLEAN_UP,
    clock_finding,
    discovery_findings,
    kernel_finding,
    leftover_findings,
    profile_finding,
    shared_memory_findings,
)
from robot_vision.ros.fastdds_profile import read_profile
from robot_vision.shipped import shared_file

NEW, OLD = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
SHIPPED = shared_file("config/fastdds.xml")


def test_the_shipped_profile_holds_what_the_readme_says() -> None:
    """64 MB, for every participant."""
    profile = read_profile(SHIPPED)
    assert (profile.is_default, profile.segment_bytes) == (True, 64 * 1024 * 1024)


@pytest.mark.parametrize(
    ("rclpy_version", "name", "other"), [("9.1.2", NEW, OLD), ("7.1.6", OLD, NEW)], ids=["kilted", "jazzy"]
)
def test_the_variable_to_export_has_the_name_that_the_distribution_reads(
    monkeypatch: pytest.MonkeyPatch, rclpy_version: str, name: str, other: str
) -> None:
    """Also where the other name is set, which looks right and does nothing."""
    monkeypatch.setattr(fastdds_profile.importlib.metadata, "version", lambda _: rclpy_version)
    for environ in ({}, {other: str(SHIPPED)}):
        finding, _ = profile_finding(environ)
        assert (finding.level, finding.mend) == ("WARN", f"export {name}={SHIPPED}")
    assert f"{other} is set" in finding.text
    assert profile_finding({name: str(SHIPPED)})[0].level == "OK"


@pytest.mark.parametrize(
    ("content", "level", "said"),
    [
        (None, "FAIL", "cannot be read: No such file"),
        ("<dds><profiles>", "FAIL", "is not well-formed XML"),
        ("<CycloneDDS/>", "FAIL", "its root is <CycloneDDS>, not <dds>"),
        ("<dds><profiles><participant profile_name='a'/></profiles></dds>", "FAIL", "no participant with is_default"),
        ("<dds><participant is_default_profile='true'/></dds>", "WARN", "configures no shared memory"),
        (
            "<dds><transport_descriptor><type>SHM</type></transport_descriptor>"
            "<participant is_default_profile='true'/></dds>",
            "WARN",
            "segment of 0.5 MB, smaller than one 1080p image",
        ),
    ],
)
def test_a_profile_that_does_not_help_is_named(tmp_path: Path, content: str | None, level: str, said: str) -> None:
    """Fast DDS itself goes on without a word on the topic that loses its images."""
    path = tmp_path / "mine.xml"
    if content is not None:
        path.write_text(content)
    finding, _ = profile_finding({fastdds_profile.profile_variables()[0]: str(path)})
    assert finding.level == level
    assert said in finding.text
    assert str(SHIPPED) in finding.mend


def test_built_in_transports_count_only_without_a_profile() -> None:
    """A profile goes before them."""
    name, transports = fastdds_profile.profile_variables()[0], {"FASTDDS_BUILTIN_TRANSPORTS": "DEFAULT"}
    finding, _ = profile_finding(transports)
    assert (finding.level, finding.mend) == ("WARN", f"export {name}={SHIPPED}")
    assert profile_finding({**transports, name: str(SHIPPED)})[0].level == "OK"


def test_what_dead_processes_left_is_counted_with_the_command_that_removes_it(tmp_path: Path) -> None:
    """A living process holds a lock on the file beside its segment."""
    old_s = time.time() - 3600
    for name in ("fastdds_00000000000000aa", "fastrtps_00000000000000bb", "fastdds_00000000000000cc"):
        (tmp_path / name).write_bytes(bytes(8192))
        (tmp_path / f"{name}_el").touch()
        os.utime(tmp_path / f"{name}_el", (old_s, old_s))
    with (tmp_path / "fastdds_00000000000000cc_el").open("r+") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        finding = next(leftover_findings(tmp_path))
        assert (finding.level, finding.mend) == ("WARN", CLEAN_UP)
        assert finding.text.startswith("2 segments of dead processes")
        code = shlex.split(CLEAN_UP)[-1].replace("f()", f"f(__import__('pathlib').Path('{tmp_path}'))")
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
        assert [found.level for found in leftover_findings(tmp_path)] == ["OK"]
        assert (tmp_path / "fastdds_00000000000000cc").exists()


def test_shared_memory_that_is_missing_or_too_small(tmp_path: Path) -> None:
    """A container has 64 MB unless told otherwise."""
    missing = next(shared_memory_findings(tmp_path / "shm", 1))
    assert (missing.level, "missing or not writable" in missing.text) == ("FAIL", True)
    small = next(shared_memory_findings(tmp_path, 2**60))
    assert small.level == "FAIL"
    assert f"mount -o remount,size={2**63} {tmp_path}" in small.mend
    assert next(shared_memory_findings(tmp_path, 1)).level == "OK"
    assert not list(shared_memory_findings(tmp_path / "shm", 0))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, [("OK", "domain"), ("OK", "discovery")]),
        ({"ROS_DOMAIN_ID": "233"}, [("FAIL", "domain"), ("OK", "discovery")]),
        ({"ROS_DOMAIN_ID": "x"}, [("FAIL", "domain"), ("OK", "discovery")]),
        ({"ROS_DOMAIN_ID": "101"}, [("OK", "domain"), ("OK", "discovery")]),
        ({"ROS_DOMAIN_ID": "102"}, [("WARN", "domain"), ("OK", "discovery")]),
        ({"ROS_DOMAIN_ID": "214"}, [("WARN", "domain"), ("OK", "discovery")]),
        ({"ROS_DOMAIN_ID": "215"}, [("OK", "domain"), ("OK", "discovery")]),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, [("OK", "domain"), ("FAIL", "discovery")]),
        ({"ROS_LOCALHOST_ONLY": "1"}, [("OK", "domain"), ("WARN", "discovery")]),
    ],
)
def test_domain_and_discovery_range(tmp_path: Path, environ: dict, expected: list) -> None:
    """0 to 101 and 215 to 232 are the domains that ROS 2's documentation calls safe on Linux."""
    (tmp_path / "ipv4").mkdir()
    (tmp_path / "ipv4" / "ip_local_port_range").write_text("32768\t60999\n")
    found = list(discovery_findings(environ, tmp_path))
    assert [(finding.level, finding.check) for finding in found] == expected
    assert all(finding.mend for finding in found if finding.level != "OK")


def test_the_socket_buffer_counts_only_where_images_go_through_sockets(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "rmem_max").write_text("212992\n")
    assert kernel_finding(tmp_path, shared=True).level == "OK"
    finding = kernel_finding(tmp_path, shared=False)
    assert (finding.level, finding.mend) == ("WARN", "sudo sysctl -w net.core.rmem_max=2147483647")
    (tmp_path / "core" / "rmem_max").write_text("2147483647\n")
    assert kernel_finding(tmp_path, shared=False).level == "OK"


def test_a_clock_before_the_installation_is_wrong() -> None:
    """Boards without a battery wake up in 1970."""
    assert clock_finding(1000.0, 1.7e9).level == "FAIL"
    assert clock_finding(1.8e9, 1.7e9).level == "OK"


def test_another_middleware_needs_neither_profile_nor_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CycloneDDS the kernel's buffers are what counts."""
    found = list(doctor_machine.machine_findings({}, "rmw_cyclonedds_cpp"))
    assert {finding.check for finding in found} == {"domain", "discovery", "kernel", "clock"}

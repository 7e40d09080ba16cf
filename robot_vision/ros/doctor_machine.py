"""What `robot_vision doctor` looks at on the machine: middleware settings, shared memory, kernel limits, clock."""

from __future__ import annotations

import datetime
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from robot_vision.errors import InvalidValueError
from robot_vision.ros.fastdds_profile import (
    SEGMENT_BYTES,
    SHIPPED,
    TRANSPORT_VARIABLE,
    Profile,
    export_command,
    profile_in_force,
    profile_variables,
    read_profile,
)
from robot_vision.ros.finding import Finding
from robot_vision.ros.shared_memory import FOLDER, dead_segments
from robot_vision.shipped import shared_file

KERNEL = Path("/proc/sys/net")
FAST_DDS = "rmw_fastrtps"
PROCESSES_WITH_SEGMENTS = 4
BIG_IMAGE_BYTES = 1920 * 1080 * 3
LAST_DOMAIN = 232
FIRST_PORT, PORTS_PER_DOMAIN = 7400, 250
CLEAN_UP = f"{sys.executable} -c 'from robot_vision.ros.shared_memory import remove_dead_segments as f; print(f())'"
_LOCKS = "fast*_[0-9a-f]*_el"


def machine_findings(environ: Mapping[str, str], rmw: str) -> Iterator[Finding]:
    """Everything that needs no other process.

    Args:
        environ: Environment as the user's shell gives it to programs.
        rmw: Name of the middleware in use.
    """
    yield from discovery_findings(environ, KERNEL)
    uses_fast_dds = rmw.startswith(FAST_DDS)
    profile = None
    if uses_fast_dds:
        found, profile = profile_finding(environ)
        yield found
        shipped = shared_file(SHIPPED)
        in_use = profile or (read_profile(shipped) if shipped else Profile(True, SEGMENT_BYTES))
        yield from shared_memory_findings(FOLDER, in_use.segment_bytes)
    transports = environ.get(TRANSPORT_VARIABLE, "")
    shared = uses_fast_dds and (profile.segment_bytes > 0 if profile else not transports.startswith("UDP"))
    yield kernel_finding(KERNEL, shared)
    yield clock_finding(time.time(), Path(__file__).stat().st_mtime)


def discovery_findings(environ: Mapping[str, str], kernel: Path) -> Iterator[Finding]:
    """Domain and discovery range: who may find whom.

    Args:
        environ: The environment.
        kernel: Folder of the kernel's network settings.
    """
    domain = environ.get("ROS_DOMAIN_ID", "") or "0"
    if not domain.isdigit() or int(domain) > LAST_DOMAIN:
        text = f"ROS_DOMAIN_ID is {domain!r}; it must be a number from 0 to {LAST_DOMAIN}"
        yield Finding("FAIL", "domain", text, "export ROS_DOMAIN_ID=0")
    else:
        yield _domain_ports(int(domain), kernel / "ipv4" / "ip_local_port_range")
    reach = environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "") or "SUBNET"
    if environ.get("ROS_LOCALHOST_ONLY", "") == "1":
        text = "ROS_LOCALHOST_ONLY=1 is set: nothing outside this machine is found"
        yield Finding("WARN", "discovery", text, "unset ROS_LOCALHOST_ONLY")
    elif reach == "OFF":
        text = "ROS_AUTOMATIC_DISCOVERY_RANGE is OFF: no program finds another, not even on this machine"
        yield Finding("FAIL", "discovery", text, "export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST")
    else:
        outside = {"LOCALHOST": "programs on this machine only", "SUBNET": "this machine and its network"}
        yield Finding("OK", "discovery", f"range {reach}: {outside.get(reach, 'as the middleware is configured')}")


def profile_finding(environ: Mapping[str, str]) -> tuple[Finding, Profile | None]:
    """The Fast DDS profile that programs of this environment take.

    Args:
        environ: The environment.

    Returns:
        What is to be said, and the profile where there is one that can be used.
    """
    read, other = profile_variables()
    path = profile_in_force(environ)
    transports = environ.get(TRANSPORT_VARIABLE, "")
    if path is None and transports:
        text = (
            f"{TRANSPORT_VARIABLE}={transports} keeps this package's profile out: large best-effort images may get lost"
        )
        return Finding("WARN", "profile", text, export_command()), None
    if path is None:
        instead = f"; {other} is set, which this distribution does not go by" if environ.get(other) else ""
        text = (
            f"{read} is not set{instead}. This package's programs set it themselves; cameras started from this "
            "shell lose large best-effort images"
        )
        return Finding("WARN", "profile", text, export_command()), None
    try:
        profile = read_profile(path)
    except InvalidValueError as error:
        return Finding("FAIL", "profile", f"{read}: {error}; Fast DDS goes on without it", export_command()), None
    if not profile.is_default:
        text = f"{path} has no participant with is_default_profile, and ROS nodes take no other"
        return Finding("FAIL", "profile", text, export_command()), None
    return _judged_profile(path, profile), profile


def _judged_profile(path: Path, profile: Profile) -> Finding:
    if not profile.segment_bytes:
        text = f"{path} configures no shared memory: images between processes go through the network stack"
        return Finding("WARN", "profile", text, export_command())
    if profile.segment_bytes < BIG_IMAGE_BYTES:
        text = f"{path} asks for a segment of {_megabytes(profile.segment_bytes)}, smaller than one 1080p image"
        return Finding("WARN", "profile", text, export_command())
    return Finding("OK", "profile", f"{path}: shared memory of {_megabytes(profile.segment_bytes)} a process")


def shared_memory_findings(folder: Path, segment_bytes: int) -> Iterator[Finding]:
    """Room for the segments of several processes, and what dead ones left behind.

    Args:
        folder: Where the system has its shared memory.
        segment_bytes: Size of one process's segment; 0 if none is used.
    """
    if not segment_bytes:
        return
    if not os.access(folder, os.W_OK):
        text = f"{folder} is missing or not writable"
        yield Finding("FAIL", "shared memory", text, f"sudo mount -t tmpfs -o mode=1777 tmpfs {folder}")
        return
    usage, needed = shutil.disk_usage(folder), segment_bytes * PROCESSES_WITH_SEGMENTS
    room = f"{folder} has {_megabytes(usage.free)} free of {_megabytes(usage.total)}"
    if usage.free < needed:
        text = (
            f"{room}; {PROCESSES_WITH_SEGMENTS} processes need {_megabytes(needed)} (Docker: --shm-size or --ipc=host)"
        )
        yield Finding("FAIL", "shared memory", text, f"sudo mount -o remount,size={2 * needed} {folder}")
    else:
        yield Finding("OK", "shared memory", f"{room}, {_megabytes(segment_bytes)} a process")
    yield from leftover_findings(folder)


def leftover_findings(folder: Path) -> Iterator[Finding]:
    """Segments whose process is dead, and those that another user's process keeps.

    A living process holds a lock on the file beside its segment.

    Args:
        folder: Where the system has its shared memory.
    """
    dead = dead_segments(folder)
    size = sum(path.stat().st_blocks * 512 for path in dead if path.exists())
    if dead:
        text = f"{len(dead)} segments of dead processes hold {_megabytes(size)}"
        yield Finding("WARN", "shared memory", text, CLEAN_UP)
    else:
        yield Finding("OK", "shared memory", "no segment of a dead process")
    unreadable = [lock for lock in sorted(folder.glob(_LOCKS)) if not os.access(lock, os.R_OK | os.W_OK)]
    if unreadable:
        owners = ", ".join(sorted({_owner(path) for path in unreadable}))
        text = (
            f"{len(unreadable)} segments belong to programs of {owners}, "
            "which this user's programs may not read: images of such a camera do not arrive"
        )
        yield Finding("WARN", "shared memory", text, "run the camera and this package as the same user")


def kernel_finding(kernel: Path, shared: bool) -> Finding:
    """The largest buffer of a socket, in which an image from the network must find room.

    Args:
        kernel: Folder of the kernel's network settings.
        shared: Whether images on this machine go through shared memory instead.
    """
    try:
        limit = int((kernel / "core" / "rmem_max").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Finding("WARN", "kernel", f"net.core.rmem_max cannot be read: {error}", "sysctl net.core.rmem_max")
    text = f"net.core.rmem_max is {_megabytes(limit)}"
    if shared or limit >= BIG_IMAGE_BYTES:
        who = " (counts only for cameras on other machines)" if shared else ""
        return Finding("OK", "kernel", text + who)
    text += ", less than one 1080p image, and images go through UDP"
    return Finding("WARN", "kernel", text, "sudo sysctl -w net.core.rmem_max=2147483647")


def clock_finding(now_s: float, installed_s: float) -> Finding:
    """Whether the wall clock can be right.

    Args:
        now_s: Seconds since 1970, by the wall clock.
        installed_s: When this package was written to the disk.
    """
    now = datetime.datetime.fromtimestamp(now_s, datetime.timezone.utc).isoformat(timespec="seconds")
    if now_s < installed_s:
        text = f"the clock says {now}, which is before this package was installed"
        return Finding("FAIL", "clock", text, "sudo timedatectl set-ntp true")
    return Finding("OK", "clock", now)


def _domain_ports(domain: int, port_range: Path) -> Finding:
    """Ports of a domain (OMG DDSI-RTPS 2.5, section 9.6.2.4) against those that the kernel hands to anybody."""
    first = FIRST_PORT + PORTS_PER_DOMAIN * domain
    try:
        low, high = map(int, port_range.read_text(encoding="utf-8").split())
    except (OSError, ValueError):
        low, high = 32768, 60999
    if low <= first <= high:
        text = f"ROS_DOMAIN_ID {domain}: its ports from {first} are among those that the kernel gives to any program"
        return Finding("WARN", "domain", text, "export ROS_DOMAIN_ID=<0 to 101>")
    return Finding("OK", "domain", f"ROS_DOMAIN_ID {domain}, ports from {first}")


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return "another user"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MB"

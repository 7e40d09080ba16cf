"""A training command, run as its user would, for tests."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

import pytest
import torch


def run_training(command: ModuleType, folder: Path, *words: str) -> None:
    """Run a command in a folder, and leave torch's number of threads as it was.

    Args:
        command: Module with `configure` and `run`.
        folder: Where it is run.
        words: Its command line.
    """
    parser = argparse.ArgumentParser()
    command.configure(parser)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        threads = torch.get_num_threads()
        try:
            assert command.run(parser.parse_args(words)) == 0
        finally:
            torch.set_num_threads(threads)

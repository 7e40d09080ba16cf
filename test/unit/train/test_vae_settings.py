"""The encoder's command line: every setting reaches it, and the card's command gives the same settings back."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.train.options import command_line, from_arguments
from robot_vision.train.vae import configure
from robot_vision.train.vae_settings import FitSettings, FrameSources, VaeTraining

COMMAND = "robot_vision train vae"


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    configure(parser)
    return parser.parse_args(words)


def test_an_empty_command_line_gives_the_defaults():
    args = parse([])
    assert from_arguments(args, FitSettings) == FitSettings()
    assert from_arguments(args, VaeTraining) == VaeTraining()
    assert FrameSources.from_arguments(args) == FrameSources()


def test_the_cards_command_parses_back_to_the_same_settings():
    line = "--data frames 'two words' --data bag --validation b c --topic /image --saliency 4 --saliency-model yolo "
    line += "--latent-size 8 --no-augment --beta 0.5 --likelihood fixed --sigma 0.05 --seed 3"
    args = parse(shlex.split(line))
    sources, fit, training = (
        FrameSources.from_arguments(args), from_arguments(args, FitSettings), from_arguments(args, VaeTraining)
    )  # fmt: skip
    assert sources.data == (Path("frames"), Path("two words"), Path("bag"))
    again = parse(shlex.split(command_line(sources.command(COMMAND), training, fit))[3:])
    assert from_arguments(again, FitSettings) == fit
    assert from_arguments(again, VaeTraining) == training
    assert FrameSources.from_arguments(again) == sources


def test_the_cards_command_leaves_out_what_does_not_decide_the_result():
    training = VaeTraining(out=Path("elsewhere"), work=Path("scratch"), resume=True, jobs=7, threads=1)
    assert command_line(COMMAND, training, FitSettings()) == COMMAND


def test_the_command_line_needs_no_torch():
    """The run-time environment has none, and `robot_vision train --help` must work there."""
    code = "import argparse, sys; from robot_vision.train.vae import configure; configure(argparse.ArgumentParser())"
    check = f"{code}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("batch_size", -1), ("learning_rate", 0.0), ("learning_rate", float("nan")), ("latent_size", 0),
     ("sigma", 0.0), ("beta", -0.1), ("warmup_epochs", -1), ("free_bits", -1.0), ("seed", -1),
     ("likelihood", "bernoulli"), ("kind", "gan"), ("network", "graph"), ("saliency", -1.0), ("corruption", 0.0),
     ("corruption", 1.0)],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(InvalidValueError, match=name):
        FitSettings(**{name: value})


def test_held_out_images_without_training_images_are_refused():
    with pytest.raises(InvalidValueError, match="held_out was given without data"):
        FrameSources(validation=(Path("held_out"),))


def test_the_same_place_cannot_be_trained_on_and_held_out():
    for sources in (((Path("a"), Path("./a")), ()), ((Path("a"),), (Path("b"), Path("a")))):
        with pytest.raises(InvalidValueError, match="a was given twice"):
            FrameSources(*sources)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [("ae", "beta", 2.0), ("dae", "free_bits", 1.0), ("vae", "corruption", 0.5), ("pca", "epochs", 3),
     ("pca", "saliency", 1.0), ("pca", "seed", 1), ("pca", "network", "places")],
)  # fmt: skip
def test_a_setting_that_means_nothing_for_the_kind_is_refused(kind, name, value):
    with pytest.raises(InvalidValueError, match=f"{name}: has no meaning for kind {kind}"):
        FitSettings(**{"kind": kind, name: value})

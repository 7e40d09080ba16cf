"""The shipped encoder of the reaching task: a linear map reads from its latent where can and finger are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot_vision.data.bags import BagReader
from robot_vision.data.sources import open_source
from robot_vision.latent.encoder import Encoder
from robot_vision.params import EncoderParams, SessionParams
from robot_vision.rl.reach_recording import ReachRecording, write_episodes
from robot_vision.runtime.card import load_card

pytestmark = pytest.mark.usefixtures("simulator")

TRAINED, FRAMES = 220, 300


def test_places_are_linear_in_the_latent_of_episodes_never_seen(tmp_path: Path) -> None:
    """Least squares on 220 frames, asked on the 80 after them, which show other episodes."""
    write_episodes(ReachRecording(tmp_path / "bag", episodes=FRAMES, frames=1, seed=4_000_000))
    encoder = Encoder(load_card("reach_vae_encoder"), SessionParams(provider="cpu"), EncoderParams())
    latents = np.array([encoder.encode(frame).mean for frame in open_source(tmp_path / "bag").frames()])
    inputs = np.c_[latents, np.ones(FRAMES)]
    with BagReader(tmp_path / "bag") as bag:
        arrays = [message for _, message in bag.messages("/camera/ground_truth")]
    for name in ("can", "robot"):
        seen, places = [], []
        for number, array in enumerate(arrays):
            for entry in array.detections:
                if entry.results[0].hypothesis.class_id == name:
                    seen.append(number)
                    places.append((entry.bbox.center.position.x, entry.bbox.center.position.y))
        rows, wanted = np.array(seen), np.array(places)
        learnt, asked = rows < TRAINED, rows >= TRAINED
        found = inputs[rows[asked]] @ np.linalg.lstsq(inputs[rows[learnt]], wanted[learnt], rcond=None)[0]
        errors = np.square(found - wanted[asked]).sum(axis=0)
        r2 = 1 - errors / np.square(wanted[asked] - wanted[asked].mean(axis=0)).sum(axis=0)
        assert (r2 > 0.95).all(), f"{name}: {r2}"

"""An encoder trained on a real clip, on the node: every image's latent arrives, and an agent steps on them."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robot_vision_msgs.msg import LatentState

pytest.importorskip("torch", reason="torch is not installed: make train-env")
gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'robot_vision[rl]'")

from robot_vision.data.sources import open_source
from robot_vision.data.video import VideoSource
from robot_vision.rl.env import RosEnvParams, RosLatentEnv
from robot_vision.rl.observation import Observation
from robot_vision.ros.convert import stamp_ns
from robot_vision.ros.qos import RESULT_QOS
from robot_vision.runtime.card import load_card

CLIP = Path(__file__).resolve().parents[3] / "shared" / "data" / "video" / "bottle-detection.mp4"
LATENT_SIZE = 8
FRAMES = 120
ACTIONS = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

pytestmark = pytest.mark.skipif(not CLIP.is_file(), reason=f"the folder of test data is not there: {CLIP}")


class Still(RosLatentEnv):
    """The agent is to keep the latent small."""

    def reward(self, observation: Observation, action: Any) -> float:
        return -float(np.square(observation.latent).mean())


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder trained for one epoch on the clip, by the command that users run."""
    folder = tmp_path_factory.mktemp("encoder")
    words = ["train", "vae", "--data", str(CLIP), "--epochs", "1", "--latent-size", str(LATENT_SIZE)]
    words += ["--out", str(folder), "--work", str(folder / "work"), "--name", "clip", "--threads", "1"]
    subprocess.run([sys.executable, "-m", "robot_vision.cli.main", *words], check=True, timeout=300)
    return folder / "clip_encoder.onnx"


def test_a_node_with_an_encoder_of_the_clip_gives_every_image_a_latent_and_an_agent_steps_on_them(
    bench, encoder: Path
) -> None:
    """At the clip's own 29.8 images a second, over the real middleware."""
    clip = open_source(CLIP)
    assert isinstance(clip, VideoSource)
    wanted_ns = clip.stamps_ns()[:FRAMES]
    latents: dict[int, np.ndarray] = {}
    bench.node.create_subscription(
        LatentState, "latent", lambda m: latents.setdefault(stamp_ns(m.header), np.array(m.mean)), RESULT_QOS
    )
    bench.start("encoder_node", f"encoder.model:={encoder}")
    bench.until(lambda: bench.node.count_publishers("/latent") == 1, "the encoder")
    card = load_card(str(encoder))
    params = RosEnvParams(latent_size=LATENT_SIZE, encoder_hash=card.identity_hash, timeout_s=30.0, max_age_s=math.inf)
    env = Still(action_space=ACTIONS, params=params)
    replay = subprocess.Popen([sys.executable, "-m", "robot_vision.cli.main", "replay", str(CLIP)])
    try:
        env.reset(seed=1)
        steps = [env.step(ACTIONS.sample()) for _ in range(10)]
        bench.until(lambda: wanted_ns[-1] in latents, "the latents of the first images")
    finally:
        replay.terminate()
        replay.wait(10)
        env.close()
    missing = [stamp for stamp in wanted_ns if stamp not in latents]
    assert len(missing) <= 2, f"{len(missing)} of {FRAMES} images have no latent"
    assert all(np.isfinite(latents[stamp]).all() for stamp in wanted_ns if stamp in latents)
    assert len({info["stamp_ns"] for *_, info in steps}) == len(steps)
    for observation, reward, terminated, truncated, info in steps:
        np.testing.assert_array_equal(observation, latents[info["stamp_ns"]])
        assert (reward, terminated, truncated) == (-float(np.square(observation).mean()), False, False)

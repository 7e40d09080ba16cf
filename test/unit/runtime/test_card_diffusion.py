"""The cards of diffusion models: everything they say arrives, and every mistake is an error that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robot_vision.errors import ModelError
from robot_vision.runtime.card import ModelCard, parse_card

SPEC: dict[str, Any] = {
    "prediction": "v", "schedule": "linear", "timesteps": 500, "latent_shape": [4, 8, 16], "latent_limit": 5,
    "words": ["on", "ball"], "max_words": 7, "class_names": ["ball"], "encoder": "e.yaml", "decoder": "sub/d.yaml",
    "steps": 20, "guidance": 2.5,
}  # fmt: skip


def parse(**changes: Any) -> ModelCard:
    spec = {key: value for key, value in {**SPEC, **changes}.items() if value is not None}
    card = {"task": "diffusion", "file": "tiny.onnx", "sha256": "0" * 64, "licence": "MIT", "diffusion": spec}
    return parse_card(card, Path("/models/tiny.yaml"))


def test_everything_arrives():
    card = parse()
    spec = card.diffusion
    assert spec is not None
    assert (card.task, card.latent, card.head, card.class_names, card.licence) == ("diffusion", None, None, (), "MIT")
    assert (spec.prediction, spec.schedule, spec.timesteps, spec.latent_shape) == ("v", "linear", 500, (4, 8, 16))
    assert (spec.latent_limit, spec.words, spec.max_words, spec.class_names) == (5.0, ("on", "ball"), 7, ("ball",))
    assert (spec.encoder, spec.decoder) == (Path("/models/e.yaml"), Path("/models/sub/d.yaml"))
    assert (spec.steps, spec.guidance) == (20, 2.5)


def test_the_denoisers_inputs_follow_from_the_card():
    card = parse()
    assert (card.input_name, card.input_shape, card.input.size_wh) == ("sample", (1, 4, 8, 16), (16, 8))
    assert card.diffusion is not None
    assert card.diffusion.input_shapes == {"sample": (4, 8, 16), "timestep": (), "tokens": (7,)}


def test_a_model_without_classes_leaves_them_out():
    spec = parse(class_names=None).diffusion
    assert spec is not None
    assert spec.class_names == ()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("prediction", "noise", "expected one of epsilon, v; got str 'noise'"),
        ("schedule", "sigmoid", "expected one of linear, cosine; got str 'sigmoid'"),
        ("timesteps", 0, r"expected a whole number within \[1, 100000\], got int 0"),
        ("latent_shape", [4, 8], "expected a list of 3 whole numbers"),
        ("latent_limit", 0, "must be positive, got 0"),
        ("latent_limit", None, "missing; expected a number"),
        ("max_words", 0, r"expected a whole number within \[1, 1024\], got int 0"),
        ("encoder", None, "missing; expected text"),
        ("decoder", None, "missing; expected text"),
        ("steps", 501, r"expected a whole number within \[1, 500\], got int 501"),
        ("guidance", -1, "must be within \\[0, 100\\], got -1"),
        ("guidance", 200, "must be within \\[0, 100\\], got 200"),
        ("words", ["a", "Red"], "must be in lower case, got Red"),
        ("size_wh", [64, 64], "unknown key; known here are prediction, schedule"),
    ],
)
def test_a_mistake_names_file_and_key(key, value, message):
    with pytest.raises(ModelError, match=rf"^/models/tiny\.yaml: diffusion\.{key}: {message}"):
        parse(**{key: value})


def test_a_word_that_yaml_reads_as_a_truth_value_is_pointed_out():
    """Unquoted, `on` is true in YAML."""
    with pytest.raises(ModelError, match=r"diffusion\.words\[0\]: expected text, got bool True; put it in quotes"):
        parse(words=[True, "ball"])


def test_the_block_is_required():
    with pytest.raises(ModelError, match=r"^/models/tiny\.yaml: diffusion: missing"):
        parse_card({"task": "diffusion", "file": "tiny.onnx", "sha256": "0" * 64}, Path("/models/tiny.yaml"))

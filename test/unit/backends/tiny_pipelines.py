"""Stable-Diffusion-like pipelines of random weights, small enough to be built by a test, saved as users save theirs."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest

SIZE_PX = 32
MAX_TOKENS = 16


def require_diffusers() -> None:
    """Skip the module where the extra is not installed."""
    for name in ("torch", "diffusers", "transformers"):
        pytest.importorskip(name, reason="needs the extra generation: pip install robot_vision[generation]")


def save_pipeline(
    folder: Path, kind: str = "StableDiffusionPipeline", channels: int = 4, flags_everything: bool = False
) -> Path:
    """Write a pipeline.

    Args:
        folder: Folder to make.
        kind: Its class in diffusers, one of those with the parts of Stable Diffusion.
        channels: Channels that the network takes: the 4 of a latent, and those of what else it is shown.
        flags_everything: Give it a safety checker, which finds every image unfit.

    Returns:
        The folder.
    """
    import diffusers
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=SIZE_PX // 2, in_channels=channels, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8, attention_head_dim=4, norm_num_groups=4,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, sample_size=SIZE_PX,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    tokenizer = _tokenizer(folder.with_name(f"{folder.name}_tokenizer"))
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=8,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    checker, extractor = _checker_of_everything() if flags_everything else (None, None)
    schedule = DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    pipeline = getattr(diffusers, kind)(
        vae, text_encoder, tokenizer, unet, schedule, checker, extractor, requires_safety_checker=flags_everything
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _tokenizer(folder: Path) -> object:
    """A CLIP tokenizer that spells every word."""
    from transformers import CLIPTokenizer

    letters = [*string.ascii_lowercase, *string.digits]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS)


def _checker_of_everything() -> tuple[object, object]:
    import torch
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    vision = {
        "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 16, "projection_dim": 8,
    }  # fmt: skip
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8))
    # A concept is found where the likeness to it is above its threshold, and nothing is below -1.
    checker.concept_embeds_weights = torch.nn.Parameter(torch.full((17,), -2.0), requires_grad=False)
    return checker, CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})

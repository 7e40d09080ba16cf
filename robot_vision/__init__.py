"""Real-time ROS 2 perception: detection, tracking, latent states and image generation."""

from __future__ import annotations

__version__ = "0.1.0"

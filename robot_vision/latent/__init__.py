"""Frames to latent states and back."""

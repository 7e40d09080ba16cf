"""Gymnasium side: observations and environments on latent states, over ROS topics or in simulation."""

"""The simulated camera world: scenes of moving objects rendered with exact ground truth."""

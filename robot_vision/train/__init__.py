"""Training of the networks that robot_vision ships; the only package that needs torch."""

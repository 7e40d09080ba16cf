"""Data sets for learning, made of bags: aligned observations and actions at one rate."""

"""The `robot_vision` command line: one file per command."""

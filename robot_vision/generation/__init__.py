"""Images on request: noise schedules, samplers, prompts and the generators that the node and the command line share."""

"""Tasks: what networks are trained for and do. A task is a room, and the same files stand in each."""

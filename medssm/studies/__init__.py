"""Studies of networks: what they see, in which order they scan, and how they compare."""

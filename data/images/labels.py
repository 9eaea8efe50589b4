"""What label maps of photographs hold in memory: the classes from 0 on, and a value for what has none."""

IGNORED = 255
# Labels and IGNORED share a byte.
MOST_CLASSES = 254

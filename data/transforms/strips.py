"""Long and narrow pictures, whose shorter side cannot be enlarged to that of an input as a whole."""

# A picture of 6000 x 1 pixels would become one of 1.3 million x 224.
LONGEST_RATIO = 16


def middle_strip(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the middle of a picture that is more than 16 times as long as it is wide; all of any other.

    >>> middle_strip(480, 640), middle_strip(1, 6000)
    ((slice(0, 480, None), slice(0, 640, None)), (slice(0, 1, None), slice(2992, 3008, None)))
    """
    most = LONGEST_RATIO * min(height, width)
    starts = max(height - most, 0) // 2, max(width - most, 0) // 2
    return slice(starts[0], starts[0] + min(height, most)), slice(starts[1], starts[1] + min(width, most))

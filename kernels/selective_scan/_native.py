"""."""


def unavailable(device: object) -> str | None:
    return "not built"

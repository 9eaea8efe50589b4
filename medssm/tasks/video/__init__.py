"""Recognition of actions in videos."""

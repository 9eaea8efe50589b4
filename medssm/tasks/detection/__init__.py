"""Detection of objects on photographs: boxes, classes and masks."""

"""Random views of images, boxes, label maps and clips for training."""

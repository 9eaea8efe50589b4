"""A small synthetic dataset of drawn objects with boxes, masks and crowd regions, in COCO's layout."""

"""A small synthetic dataset of drawn objects with boxes, masks and crowd regions, in COCO's layout."""

from medssm.data.synthetic.objects.dataset import cached_objects, write_objects

__all__ = ["cached_objects", "write_objects"]

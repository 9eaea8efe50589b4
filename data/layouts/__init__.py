"""Layouts of datasets as people have them, a folder each: how one is found, loaded and checked."""

"""Videos: which files they are, how they are read, and which frames a network sees."""

"""Small tables; each names its source and licence in its header."""

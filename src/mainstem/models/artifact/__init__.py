"""The artifact of a version: save it, check it, score with it."""

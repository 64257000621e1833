"""The normal form of a declared feature view. Every interpreter starts from it."""

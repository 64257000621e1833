"""Live answers: predictions and events over HTTP, from one release at a time."""

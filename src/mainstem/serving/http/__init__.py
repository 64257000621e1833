"""One module per resource; each has `routes(service)`."""

"""Other systems that a project tells what it did: `from mainstem.integrations import mlflow`."""

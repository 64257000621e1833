"""A client of `mainstem serve`, of the standard library alone.

with Client("http://127.0.0.1:8100", key="ms_…") as client:
    client.events("payments", [{"payment_id": "p1", …}])
    client.predict("authorise", {"amount": 20.0, "abroad": False})
"""

from mainstem.client.client import Client

__all__ = ["Client"]

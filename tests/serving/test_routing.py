"""Paths to handlers: the parts of a path are arguments, and what is not answered is named with what is near."""

import pytest

from mainstem.errors import NotFound
from mainstem.serving.http.messages import Request, Response
from mainstem.serving.http.refusals import WrongMethod
from mainstem.serving.http.routing import Route, Routes


async def whole(request: Request) -> Response: ...  # type: ignore[empty-body]
async def one(request: Request, stream: str) -> Response: ...  # type: ignore[empty-body]
async def two(request: Request, stream: str, day: str) -> Response: ...  # type: ignore[empty-body]


ROUTES = Routes(
    [
        Route("GET", "/", whole),
        Route("POST", "/events", whole),
        Route("POST", "/events/{stream}", one),
        Route("GET", "/events/{stream}/days/{day}", two),
    ]
)


def test_parts_of_a_path_are_arguments() -> None:
    assert ROUTES.find("POST", "/events/a.b") == (Route("POST", "/events/{stream}", one), {"stream": "a.b"})
    route, parts = ROUTES.find("HEAD", "/events/x/days/2013-12-01")
    assert (route.label, parts) == ("/events/NAME/days/NAME", {"stream": "x", "day": "2013-12-01"})
    assert ROUTES.find("POST", "/events")[1] == {}


@pytest.mark.parametrize("path", ["/event", "/events/", "/events/x/", "/events/x/y", "//events", ""])
def test_an_unknown_path_is_named_with_the_known_ones(path: str) -> None:
    with pytest.raises(NotFound, match=f"unknown path {path}") as caught:
        ROUTES.find("POST", path)
    assert "/events/NAME/days/NAME" in str(caught.value.expected) and caught.value.hint


def test_a_wrong_method_is_answered_with_the_right_ones() -> None:
    with pytest.raises(WrongMethod) as caught:
        ROUTES.find("POST", "/")
    assert caught.value.allowed == "GET, HEAD"


def test_a_handler_takes_what_its_path_has() -> None:
    with pytest.raises(TypeError, match="stream"):
        Route("POST", "/events/{name}", one)
    with pytest.raises(TypeError, match="stream"):
        Route("POST", "/events", one)

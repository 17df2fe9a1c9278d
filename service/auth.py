"""Who is asking: a bearer token, or the cookie that `POST /session` sets for the page."""

from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from jobs.core.errors import NotSignedIn
from jobs.core.users import User, find_user
from service.body import RequestModel, read_body
from service.state import State

COOKIE = "vignette_token"
_COOKIE_S = 30 * 24 * 3600


class SignIn(RequestModel):
    """The body of `POST /session`."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


async def require_user(request: Request[State]) -> User:
    """The user of a request: 1 statement.

    Raises:
        NotSignedIn: There is no token, or nobody has it.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.cookies.get(COOKIE, "")
    if not token.strip():
        raise NotSignedIn("Send a token as `Authorization: Bearer <token>`, or sign in.")
    return await find_user(request.state["database"], token.strip())


async def create_session(request: Request[State]) -> Response:
    """`POST /session`: sign the page in with a token."""
    sign_in = await read_body(request, SignIn)
    await find_user(request.state["database"], sign_in.token)
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        sign_in.token,
        max_age=_COOKIE_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


async def delete_session(request: Request[State]) -> Response:
    """`DELETE /session`: sign the page out; always 204."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return response

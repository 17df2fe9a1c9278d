"""A stand-in for Google and OpenAI on loopback: their wire formats, scripted answers, and a count of calls.

    python -m tests.standin --port 9999      POST /script, GET /calls, POST /reset steer it

A script is a list of rules. The first rule whose `match` stands in a request's prompt, whose `kind` is the request's,
and which has `times` left, decides; without one the answer is a picture, or a translation.
"""

import argparse
import asyncio
import base64
import io
import random
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal

import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Kind = Literal["picture", "text"]


@dataclass
class Rule:
    """What to do with a request."""

    match: str = ""
    kind: Kind | None = None
    times: int = -1  # -1: for ever
    delay_s: float = 0
    status: int = 200
    retry_after: str | None = None  # the header field
    retry_info: str | None = None  # google.rpc.RetryInfo, for instance "2s"
    finish_reason: str = "STOP"
    block_reason: str | None = None
    error_code: str | None = None  # OpenAI's error.code
    size_bytes: int = 0  # 0: a small picture
    cut: Literal["", "before", "inside"] = ""
    drip_s: float = 0  # spread the answer over so many seconds
    body: Literal["picture", "url", "foreign url", "empty", "no json", "other json", "broken picture"] = "picture"


@dataclass
class Call:
    """A request that came."""

    kind: Kind
    prompt: str
    model: str
    at: float
    key: str
    body: Any
    under_way: bool = True


@dataclass
class Standin:
    """The script and the calls so far; `app` serves them."""

    rules: list[Rule] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/{version}/models/{call:path}", self._answer_google, methods=["POST"]),
                Route("/v1/images/generations", self._answer_openai, methods=["POST"]),
                Route("/pictures/{name}", self._send_picture),
                Route("/script", self._take_script, methods=["POST"]),
                Route("/reset", self._reset, methods=["POST"]),
                Route("/calls", self._show_calls),
            ]
        )

    def count(self, kind: Kind, part: str = "") -> int:
        """How many calls of a kind had this in their prompt."""
        return sum(call.kind == kind and part in call.prompt for call in self.calls)

    async def _answer_google(self, request: Request) -> Response:
        model, _, method = request.path_params["call"].partition(":")
        assert method == "generateContent"
        body = await request.json()
        prompt = "".join(part["text"] for content in body["contents"] for part in content["parts"])
        kind: Kind = "picture" if body["generationConfig"].get("responseModalities") == ["IMAGE"] else "text"
        call = Call(kind, prompt, model, time.time(), request.headers.get("x-goog-api-key", ""), body)
        return await self._answer(request, call, _google_error, _google_answer)

    async def _answer_openai(self, request: Request) -> Response:
        body = await request.json()
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        call = Call("picture", body["prompt"], body["model"], time.time(), key, body)
        return await self._answer(request, call, _openai_error, _openai_answer)

    async def _answer(self, request: Request, call: Call, make_error: Any, make_answer: Any) -> Response:
        self.calls.append(call)
        rule = self._choose(call)
        try:
            await asyncio.sleep(rule.delay_s)
            if rule.cut == "before":
                _transport_of(request).abort()
            if rule.status != 200:
                headers = {"Retry-After": rule.retry_after} if rule.retry_after else {}
                return JSONResponse(make_error(rule), rule.status, headers)
            if rule.body == "no json":
                return Response(b'{"candidates": [', media_type="application/json")
            answer = JSONResponse({"surprise": 1} if rule.body == "other json" else make_answer(rule, call))
            if rule.cut == "inside" or rule.drip_s:
                return _drip(request, bytes(answer.body), rule)
            return answer
        finally:
            call.under_way = False

    def _choose(self, call: Call) -> Rule:
        for rule in self.rules:
            if rule.times != 0 and rule.kind in (None, call.kind) and rule.match in call.prompt:
                rule.times -= rule.times > 0
                return rule
        return Rule()

    async def _send_picture(self, _request: Request) -> Response:
        return Response(make_picture(0), media_type="image/png")

    async def _take_script(self, request: Request) -> Response:
        self.rules[:] = [Rule(**each) for each in await request.json()]
        return Response(status_code=204)

    async def _reset(self, _request: Request) -> Response:
        self.calls.clear()
        self.rules.clear()
        return Response(status_code=204)

    async def _show_calls(self, _request: Request) -> Response:
        return JSONResponse(
            [{name: value for name, value in asdict(call).items() if name != "body"} for call in self.calls]
        )


@lru_cache(maxsize=8)
def make_picture(size_bytes: int) -> bytes:
    """A PNG of about so many bytes: noise, which does not compress."""
    side = max(16, round((size_bytes / 3) ** 0.5))
    buffer = io.BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(side).randbytes(side * side * 3)).save(
        buffer, "PNG", compress_level=0
    )
    return buffer.getvalue()


def _picture_of(rule: Rule) -> str:
    data = make_picture(rule.size_bytes)
    return base64.b64encode(data[: len(data) // 2] if rule.body == "broken picture" else data).decode()


def _google_answer(rule: Rule, call: Call) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "modelVersion": f"{call.model}-001",
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 1290, "totalTokenCount": 1301},
    }
    if rule.block_reason:
        return answer | {"promptFeedback": {"blockReason": rule.block_reason}}
    if rule.body == "empty":
        return answer
    part: dict[str, Any] = {"text": f"translated: {call.prompt[:60]}"}
    if call.kind == "picture":
        part = {"inlineData": {"mimeType": "image/png", "data": _picture_of(rule)}}
    content = {"role": "model", "parts": [part] if rule.finish_reason == "STOP" else []}
    return answer | {"candidates": [{"content": content, "finishReason": rule.finish_reason, "index": 0}]}


def _google_error(rule: Rule) -> dict[str, Any]:
    details = []
    if rule.retry_info:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": rule.retry_info})
    return {"error": {"code": rule.status, "message": "secret provider text", "status": "X", "details": details}}


def _openai_answer(rule: Rule, call: Call) -> dict[str, Any]:
    entry = {"b64_json": _picture_of(rule)}
    if rule.body == "url":
        entry = {"url": "/pictures/one.png"}
    if rule.body == "foreign url":
        entry = {"url": "http://127.0.0.2:1/one.png"}
    data = [] if rule.body == "empty" else [entry]
    return {
        "created": 1,
        "model": f"{call.model}-001",
        "data": data,
        "usage": {"input_tokens": 11, "output_tokens": 1290},
    }


def _openai_error(rule: Rule) -> dict[str, Any]:
    return {"error": {"message": "secret provider text", "code": rule.error_code, "type": "x"}}


def _transport_of(request: Request) -> Any:
    return request.receive.__self__.transport  # type: ignore[attr-defined]  # uvicorn's cycle


def _drip(request: Request, body: bytes, rule: Rule) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        step = max(1, len(body) // 20)
        for start in range(0, len(body), step):
            if rule.cut == "inside" and start > len(body) // 2:
                _transport_of(request).abort()
                return
            yield body[start : start + step]
            await asyncio.sleep(rule.drip_s / 20)

    return StreamingResponse(chunks(), media_type="application/json", headers={"Content-Length": str(len(body))})


def main() -> None:
    """Serve on loopback until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(Standin().app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning")


if __name__ == "__main__":
    main()

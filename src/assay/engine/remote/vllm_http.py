"""Sends requests to a vLLM server: what its answers look like, and what becomes of its refusals.

Shapes as of vLLM 0.10 to 0.25; fields that Assay does not use are not read. Nothing the server says is passed on with a
path in it: the path of an adapter can tell what is hidden in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from assay._util.strict_json import parse_json
from assay.errors import BackendFailed, InvalidInput, TooLong

_CONNECTIONS = 256  # audits share a batch on the server only if they get through to it
_PATH = re.compile(r"\S*/\S+")
_LENGTH = re.compile(r"maximum (context|model) length|longer than the maximum", re.IGNORECASE)


class ServedModel(BaseModel):
    """A model of the server's list; an adapter has a parent, its base."""

    id: str
    parent: str | None = None


class ServedModels(BaseModel):
    """The answer to GET /v1/models."""

    data: list[ServedModel]

    @property
    def bases(self) -> set[str]:
        return {model.id for model in self.data if model.parent is None}

    @property
    def adapters(self) -> set[str]:
        return {model.id for model in self.data if model.parent is not None}


class Tokenized(BaseModel):
    """The answer to POST /tokenize."""

    tokens: list[int]


class Detokenized(BaseModel):
    """The answer to POST /detokenize."""

    prompt: str


class PromptLogprob(BaseModel):
    """One token of a position in `prompt_logprobs`."""

    logprob: float
    decoded_token: str | None = None


class AssistantMessage(BaseModel):
    """What an assistant said; null where it said nothing."""

    content: str | None = None


class Choice(BaseModel):
    """One sample, of a chat (`message`) or of raw text (`text`)."""

    index: int
    text: str | None = None
    message: AssistantMessage | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None
    prompt_logprobs: list[dict[int, PromptLogprob] | None] | None = None

    @property
    def content(self) -> str:
        return (self.message.content if self.message else self.text) or ""


class Usage(BaseModel):
    """The tokens read, once a prompt, and written, over all samples."""

    prompt_tokens: int
    completion_tokens: int = 0


class Completion(BaseModel):
    """The answer to POST /v1/chat/completions and /v1/completions."""

    choices: list[Choice]
    usage: Usage


Answer = TypeVar("Answer", bound=BaseModel)


class VllmClient:
    """A connection pool to one server.

    Args:
        root: URL without /v1.
        key: bearer token, or "".
        timeout: seconds one request may take.
    """

    def __init__(self, root: str, key: str, timeout: float) -> None:
        self._root, self._timeout = root, timeout
        self._client = httpx.AsyncClient(
            base_url=root,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=min(10.0, timeout), pool=None),
            transport=httpx.AsyncHTTPTransport(
                retries=2, verify=root.startswith("https:"), limits=httpx.Limits(max_connections=_CONNECTIONS)
            ),
        )

    async def __aenter__(self) -> VllmClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, shape: type[Answer]) -> Answer:
        """Asks for something.

        Raises:
            BackendFailed: nobody answers, or not as vLLM does.
            InvalidInput: the server refuses.
        """
        return self._understood(path, await self._send("GET", path), shape)

    async def post(self, path: str, body: Mapping[str, Any], shape: type[Answer]) -> Answer:
        """Asks for something with a body.

        Raises:
            BackendFailed: nobody answers, or not as vLLM does.
            InvalidInput: the server refuses.
        """
        return self._understood(path, await self._send("POST", path, body), shape)

    async def tell(self, path: str, body: Mapping[str, Any]) -> int:
        """Asks for something to be done; the HTTP status says whether it was.

        Raises:
            BackendFailed: nobody answers.
        """
        return (await self._send("POST", path, body)).status_code

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        # Errors are raised `from None`: httpx's own carry the request, and with it a path or the key.
        try:
            return await self._client.request(method, path, json=body)
        except httpx.ConnectError as error:
            raise BackendFailed(
                f"no server answers at {self._root} ({type(error).__name__}). Start vLLM there, or give another URL."
            ) from None
        except httpx.TimeoutException as error:
            raise BackendFailed(
                f"{self._root}{path} took longer than {self._timeout:g} s ({type(error).__name__}). Ask for fewer "
                f"tokens or samples, or give the server more time (timeout=)."
            ) from None
        except httpx.HTTPError as error:
            raise BackendFailed(
                f"{self._root}{path}: the connection broke ({type(error).__name__}). Try again."
            ) from None

    def _understood(self, path: str, response: httpx.Response, shape: type[Answer]) -> Answer:
        """Reads an answer as the shape it must have, or says why there is none."""
        status = response.status_code
        if status in (401, 403):
            raise InvalidInput(
                f"{self._root} refuses the key (HTTP {status}): give the one it was started with (key=)."
            )
        if status != 200:
            # A time-out or too many requests (408, 429) are the server's trouble, though HTTP counts them the client's.
            refused, said = 400 <= status < 500 and status not in (408, 429), _said(response)
            kind = (TooLong if _LENGTH.search(said) else InvalidInput) if refused else BackendFailed
            raise kind(f"{self._root}{path} answered HTTP {status}: {said}")
        try:
            return shape.model_validate_json(response.content)
        except ValidationError as error:
            raise BackendFailed(
                f"{self._root}{path} does not answer as vLLM does ({error.error_count()} fields differ). Is the URL "
                f"that of a vLLM server's root?"
            ) from None


def _said(response: httpx.Response) -> str:
    """Returns a server's own words, `{"error": {"message"}}` or, of old, `{"message"}`, without paths."""
    try:
        body = parse_json(response.text, "answer")
        error = body.get("error", body)
        said = str(error.get("message") or error.get("detail") or error)
    except (InvalidInput, AttributeError):
        said = response.text
    return _PATH.sub("…", said)[:500]

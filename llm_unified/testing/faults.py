"""Everything that goes wrong, one line each::

    sim.openai.script(faults.status(500) * 2)  # fail twice, then answer
    sim.groq.always(faults.rate_limit(retry_after=3))
    sim.anthropic.script(faults.cut_stream(after=2))

Each fault plays on all four providers, streamed or not, in the vendor's own words. Faults of streams
do the nearest thing to an answer that is none: they cut its body. ``ALL`` lists them by name for
matrix tests; :meth:`Fault.expected` says what a resilient client must make of each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from llm_unified.response import FailureKind
from llm_unified.testing import replies
from llm_unified.testing.exchange import EVENTS, Exchange, Outcome, chunk, chunks
from llm_unified.testing.wire import Answer, Hollow, Problem, Stream, dump

if TYPE_CHECKING:
    import random
    from collections.abc import Coroutine

    from llm_unified.testing.journal import Request

K = FailureKind
ResetPoint = Literal["before_headers", "after_headers", "mid_body"]
Play = Callable[[Exchange], "Coroutine[Any, Any, None] | None"]

STATUS_KINDS: Mapping[int, FailureKind] = {
    401: K.AUTH,
    402: K.QUOTA,
    403: K.AUTH,
    404: K.NOT_FOUND,
    407: K.CONNECTION,
    408: K.TIMEOUT,
    409: K.SERVER,
    421: K.CONNECTION,
    423: K.SERVER,
    424: K.SERVER,
    426: K.NOT_FOUND,
    429: K.RATE_LIMIT,
    449: K.SERVER,
    451: K.AUTH,
    499: K.SERVER,
    529: K.RATE_LIMIT,
}
STATUSES = (400, 422, 500, 502, 503, 504, *STATUS_KINDS)
GARBAGE = b"\x80\x81\xfe\xff this is neither UTF-8 nor JSON \xc3\x28"
PAGE = b"<!doctype html><html><head><title>Sorry</title></head><body>Back soon.</body></html>"


@dataclass(frozen=True, slots=True)
class Fault(Outcome):
    """Something that goes wrong, and what a resilient client must report."""

    name: str
    action: Play
    kind: FailureKind | None
    """Of a request that is not streamed; ``None``: it is no failure, the answer is right."""
    stream_kind: FailureKind | None = None
    """Of a streamed request."""
    after_content: bool = False
    """Streams: it strikes after content, when a client must not switch providers any more."""
    by_provider: Mapping[str, FailureKind] = field(default_factory=dict)
    """Overrides both kinds where a provider says something else."""
    lenient: bool = False
    """A right answer is as good as the failure."""
    retry_after: float | None = None
    """Seconds that the provider asks to be left alone."""

    def play(self, x: Exchange) -> Coroutine[Any, Any, None] | None:
        return self.action(x)

    def expected(self, provider: str, *, stream: bool = False) -> FailureKind | None:
        """The kind that must be reported; ``None``: the answer must be used."""
        return self.by_provider.get(provider, self.stream_kind if stream else self.kind)


def _fault(
    name: str,
    action: Play,
    kind: FailureKind | None,
    stream_kind: FailureKind | Literal["same"] | None = "same",
    **rest: Any,
) -> Fault:
    return Fault(name, action, kind, kind if stream_kind == "same" else stream_kind, **rest)


def _speech(at_least: int = 8) -> Answer:
    """The answer that a fault spoils: recognisable, should it get through."""
    return Answer(text=" ".join(f"spoilt{i}" for i in range(1, max(8, at_least + 4) + 1)))


def _streams(x: Exchange) -> bool:
    return x.request.stream and (x.refusal is not None or x.endpoint == "chat")


# -- connections -----------------------------------------------------------------------------------


def refused() -> Fault:
    """Resets this connection and refuses new ones until ``listen()`` or ``reset()``."""

    def action(x: Exchange) -> None:
        x.provider.listener.refuse()
        x.reset()

    return _fault("refused", action, K.CONNECTION)


def reset(when: ResetPoint = "before_headers") -> Fault:
    """A real RST. ``mid_body`` of a stream: after two content chunks."""

    def action(x: Exchange) -> None:
        if when == "after_headers":
            x.write(x.stream_head() if _streams(x) else x.head(200, length=500))
        elif when == "mid_body":
            x.write(_half(x))
        x.reset()

    after = when == "mid_body"
    return _fault(f"reset_{when}", action, K.CONNECTION, after_content=after)


def close() -> Fault:
    """FIN in the middle of the body: fewer bytes than announced."""

    def action(x: Exchange) -> None:
        x.write(_half(x))
        x.close()

    return _fault("close_mid_body", action, K.CONNECTION, after_content=True)


def blackhole() -> Fault:
    """Takes the request and never says a word."""
    return _fault("blackhole", lambda x: x.forever(), K.TIMEOUT)


def headers_then_silence() -> Fault:
    """A promising 200, then nothing."""

    async def action(x: Exchange) -> None:
        x.write(x.stream_head() if _streams(x) else x.head(200, length=500))
        await x.forever()

    return _fault("headers_then_silence", action, K.TIMEOUT)


def slow_drip(interval: float = 0.2, size: int = 8) -> Fault:
    """A right answer, ``size`` bytes every ``interval`` seconds: each read succeeds, the whole lasts
    a minute or so."""

    async def action(x: Exchange) -> None:
        if _streams(x):
            data = x.stream_head() + chunks(x.good_stream(_speech()).events()) + b"0\r\n\r\n"
        else:
            body = x.good_body(_speech())
            data = x.head(200, length=len(body)) + body
        start = data.index(b"\r\n\r\n") + 4
        x.write(data[:start])
        for i in range(start, len(data), size):
            await asyncio.sleep(interval)
            x.write(data[i : i + size])
        x.finish()

    return _fault("slow_drip", action, K.TIMEOUT)


def _half(x: Exchange) -> bytes:
    if _streams(x):
        stream = x.good_stream(_speech())
        return x.stream_head() + chunks((*stream.head, *stream.content[:2]))
    body = x.good_body(_speech())
    return x.head(200, length=len(body)) + body[: len(body) // 2]


# -- statuses ---------------------------------------------------------------------------------------


def _problem(
    name: str,
    problem: Problem,
    kind: FailureKind,
    headers: Callable[[Exchange], Mapping[str, str]] | None = None,
    **rest: Any,
) -> Fault:
    def action(x: Exchange) -> None:
        x.fail(problem, headers(x) if headers else None)

    return _fault(name, action, kind, **rest)


def status(
    code: int,
    message: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    reason: str = "",
    param: str | None = None,
) -> Fault:
    """An error status in the vendor's envelope, with the vendor's message or another."""
    kind = STATUS_KINDS.get(code, K.SERVER if code >= 500 else K.BAD_REQUEST)  # noqa: PLR2004
    more = dict(headers or {})
    problem = Problem(code, reason, message, param)
    rest = {}
    if code == 413 and not message:  # noqa: PLR2004 - Groq: tokens per minute
        rest = {"by_provider": {"groq": K.RATE_LIMIT, "anthropic": K.CONTEXT_LENGTH}}
    return _problem(f"status_{code}", problem, kind, lambda _: more, **rest)


def bad_request(message: str = "") -> Fault:
    """A plain 400: the caller's fault."""
    problem = Problem(400, "", message, "temperature")
    return _problem("bad_request", problem, K.BAD_REQUEST)


def context_length() -> Fault:
    """400: the conversation is too long for the model."""
    problem = Problem(400, "context_length", param="messages")
    return _problem("context_length", problem, K.CONTEXT_LENGTH)


def content_policy() -> Fault:
    """400: the provider's safety system objects; Azure's with its ``innererror``."""
    return _problem("content_policy", Problem(400, "content_policy"), K.CONTENT_POLICY)


def overloaded() -> Fault:
    """Anthropic's 529; the others' 503."""
    problem = Problem(503, "overloaded")
    return _problem("overloaded", problem, K.SERVER, by_provider={"anthropic": K.RATE_LIMIT})


def quota() -> Fault:
    """The monthly limit is reached: OpenAI's and Azure's 429, Groq's and Anthropic's 400."""
    return _problem("quota", Problem(429, "quota"), K.QUOTA)


def credit_spent() -> Fault:
    """The money is spent: 400, from the gateway in front of Azure 403."""
    return _problem("credit_spent", Problem(400, "credit"), K.QUOTA)


def organization_disabled() -> Fault:
    """The account behind the key is closed: OpenAI's and Azure's 401, Groq's and Anthropic's 400."""
    return _problem("organization_disabled", Problem(401, "organization"), K.AUTH)


def unsupported_region() -> Fault:
    """403: not from this country or network."""
    return _problem("unsupported_region", Problem(403, "region"), K.AUTH)


def unknown_model() -> Fault:
    """No such model or deployment: OpenAI's 400, the others' 404."""
    return _problem("unknown_model", Problem(400, "model_unknown"), K.NOT_FOUND)


def retired_model() -> Fault:
    """The model is gone: Groq's 400, the others' 404."""
    return _problem("retired_model", Problem(404, "model_retired"), K.NOT_FOUND)


def unsupported_operation() -> Fault:
    """The model is none for chat: Azure's and Groq's 400, the others' 404."""
    return _problem("unsupported_operation", Problem(404, "operation"), K.NOT_FOUND)


def too_many_tokens(retry_after: float | None = None) -> Fault:
    """The request alone is beyond the tokens per minute: Groq's 413, the others' 429."""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    problem = Problem(429, "tokens")
    return _problem(
        "too_many_tokens", problem, K.RATE_LIMIT, lambda _: headers, retry_after=retry_after
    )


def no_capacity() -> Fault:
    """No room at the moment: Azure's 429, Groq's 498, OpenAI's 503, Anthropic's 529."""
    kinds = {"openai": K.SERVER}
    return _problem("no_capacity", Problem(503, "capacity"), K.RATE_LIMIT, by_provider=kinds)


def failed_tool_call() -> Fault:
    """The model's own tool call could not be used: Groq's 400; the others' 500, the nearest they have."""
    kinds = {"anthropic": K.SERVER}
    problem = Problem(500, "tool_generation")
    return _problem("failed_tool_call", problem, K.INVALID_RESPONSE, by_provider=kinds)


def failed_json() -> Fault:
    """The model's own JSON was none: Groq's 400; the others' 500, the nearest they have."""
    kinds = {"anthropic": K.SERVER}
    problem = Problem(500, "json_generation")
    return _problem("failed_json", problem, K.INVALID_RESPONSE, by_provider=kinds)


def input_and_output_too_long() -> Fault:
    """400: the conversation fits, but not together with ``max_tokens``."""
    problem = Problem(400, "input_and_output", param="messages")
    return _problem("input_and_output_too_long", problem, K.CONTEXT_LENGTH)


def flagged_prompt() -> Fault:
    """400: the prompt is suspected; Groq and Anthropic say it in the words of their filter."""
    return _problem("flagged_prompt", Problem(400, "flagged"), K.CONTENT_POLICY)


def long_parameter() -> Fault:
    """400: a parameter, not the conversation, is too long: the caller's fault."""
    problem = Problem(400, "long_parameter", param="user")
    return _problem("long_parameter", problem, K.BAD_REQUEST)


def rate_limit(
    retry_after: float | None = None,
    *,
    http_date: bool = False,
    ms: float | None = None,
    reset_requests: float | None = None,
    reset_tokens: float | None = None,
) -> Fault:
    """429, saying or not when to come back.

    ``retry_after``: seconds, as a number or as an HTTP date. ``ms``: ``retry-after-ms``.
    ``reset_requests``, ``reset_tokens``: seconds, in the vendor's own headers and notation
    (``x-ratelimit-reset-requests: 6m0s``, ``anthropic-ratelimit-requests-reset: 2024-…Z``).
    """

    def headers(x: Exchange) -> dict[str, str]:
        found = x.wire.reset_headers(reset_requests, reset_tokens)
        if retry_after is not None:
            whole = int(retry_after) if retry_after == int(retry_after) else retry_after
            date = formatdate(-(-(time.time() + retry_after) // 1), usegmt=True)
            found["retry-after"] = date if http_date else str(whole)
        if ms is not None:
            found["retry-after-ms"] = str(ms)
        return found

    resets = [r for r in (reset_requests, reset_tokens) if r is not None]
    said = retry_after if ms is None else ms / 1000
    if said is None and resets:
        said = max(resets)
    return _problem("rate_limit", Problem(429), K.RATE_LIMIT, headers, retry_after=said)


def echo_secrets(code: int = 500) -> Fault:
    """An error whose message and headers repeat the key and the prompt."""

    def action(x: Exchange) -> None:
        sent = {k: v for k, v in x.request.headers.items() if "key" in k or k == "authorization"}
        secrets = f"key {x.request.api_key}, headers {sent}, prompt {x.chat.prompt}"
        x.fail(Problem(code, message=f"Failed for {secrets}"), {"x-debug": f"{x.request.api_key}"})

    kind = status(code).kind
    return _fault(f"echo_secrets_{code}", action, kind)


def redirect(*, same_host: bool = True, status: int = 307) -> Fault:
    """To another path of this provider, which answers; or to ``sim.stranger``, another host, which
    would answer, too, but must never see the request."""

    def action(x: Exchange) -> None:
        sim, request = x.provider.simulator, x.request
        query = "".join(f"&{name}={value}" for name, value in request.query.items())
        if same_host:
            place = sim.prefix + request.path
        else:
            # Another name, not just another port, since some clients compare only the name.
            scheme = "https" if sim.tls_context else "http"
            place = f"{scheme}://localhost:{sim.stranger.port}/{x.provider.name}{request.path}"
        x.respond(status, b"", {"location": f"{place}?redirected=1{query}"})

    name = f"redirect_{'same' if same_host else 'other'}_host"
    return _fault(name, action, None if same_host else K.INVALID_RESPONSE, lenient=same_host)


# -- a 200 that is no answer --------------------------------------------------------------------------


def _body(name: str, body: bytes, content_type: str, **rest: Any) -> Fault:
    """The same bytes for streams and for answers."""

    def action(x: Exchange) -> None:
        x.respond(200, body, content_type=content_type)

    return _fault(name, action, K.INVALID_RESPONSE, **rest)


def _value(name: str, body: bytes) -> Fault:
    """A JSON value as the body, or as the only event of a stream that ends properly."""

    def action(x: Exchange) -> None:
        if not _streams(x):
            x.respond(200, body)
            return
        event = x.wire.event(body.decode("latin-1")).decode().encode("latin-1")
        end = x.good_stream(_speech()).end
        x.write(x.stream_head() + chunks((event, end)) + b"0\r\n\r\n")
        x.finish()

    return _fault(name, action, K.INVALID_RESPONSE)


def html() -> Fault:
    """A proxy's apology, as 200 text/html."""
    return _body("html", PAGE, "text/html; charset=utf-8")


def empty_body() -> Fault:
    """200 and not one byte."""

    def action(x: Exchange) -> None:
        x.respond(200, b"", content_type=EVENTS if _streams(x) else "application/json")

    return _fault("empty_body", action, K.INVALID_RESPONSE)


def null() -> Fault:
    """``null``."""
    return _value("null", b"null")


def empty_object() -> Fault:
    """``{}``."""
    return _value("empty_object", b"{}")


def not_utf8() -> Fault:
    """Bytes that are no text in the promised encoding."""
    return _value("not_utf8", GARBAGE)


def gzip_garbage() -> Fault:
    """Says gzip and is not."""

    def action(x: Exchange) -> None:
        kind = EVENTS if _streams(x) else "application/json"
        x.respond(200, GARBAGE * 4, {"content-encoding": "gzip"}, content_type=kind)

    return _fault("gzip_garbage", action, K.INVALID_RESPONSE)


def wrong_content_type() -> Fault:
    """A right answer labelled text/plain."""

    def action(x: Exchange) -> None:
        answer = _speech()
        body = b"".join(x.good_stream(answer).events()) if _streams(x) else x.good_body(answer)
        x.respond(200, body, content_type="text/plain; charset=utf-8")

    return _fault("wrong_content_type", action, K.INVALID_RESPONSE, lenient=True)


def huge_body(size: int = 50_000_000) -> Fault:
    """An answer of ``size`` bytes in pieces of 64 KiB; ends when the client goes."""

    async def action(x: Exchange) -> None:
        piece = "x" * 65_536
        if _streams(x):
            stream = x.good_stream(Answer(text=piece, pieces=(piece,)))
            event = chunk(stream.content[0])
            x.write(x.stream_head() + chunks(stream.head))
            for _ in range(-(-size // len(event))):
                await x.send(event)
            x.write(chunks((*stream.tail, stream.end)) + b"0\r\n\r\n")
        else:
            before, after = x.good_body(Answer(text="@@")).split(b"@@")
            x.write(x.head(200, length=len(before) + size + len(after)) + before)
            for i in range(0, size, len(piece)):
                await x.send(piece[: size - i].encode())
            x.write(after)
        x.finish()

    return _fault("huge_body", action, K.INVALID_RESPONSE, after_content=True, lenient=True)


def _hollow(kind: Hollow) -> Fault:
    def action(x: Exchange) -> Coroutine[Any, Any, None] | None:
        body, stream = x.wire.hollow(kind, x.chat)
        if _streams(x):
            return x.play_stream(stream)
        x.respond(200, dump(body).encode())
        return None

    return _fault(kind, action, K.INVALID_RESPONSE)


def no_choices() -> Fault:
    """``choices: []``; Anthropic: ``content: []``."""
    return _hollow("no_choices")


def null_choices() -> Fault:
    """``choices: null``; Anthropic: ``content: null``."""
    return _hollow("null_choices")


def empty_content() -> Fault:
    """An answer whose text is ``""``."""
    return _hollow("empty_content")


def null_content() -> Fault:
    """An answer whose text is ``null``."""
    return _hollow("null_content")


def broken_tool_json() -> Fault:
    """A tool call whose arguments are cut JSON. Anthropic, not streamed, sends a string for an
    object, the nearest that its protocol can carry."""

    def action(x: Exchange) -> Coroutine[Any, Any, None] | None:
        name = x.chat.tools[0].name if x.chat.tools else "some_tool"
        answer = replies.tool_call(name, '{"city": "Ro').answer(x.chat)
        if _streams(x):
            return x.play_stream(x.good_stream(answer))
        x.respond(200, x.good_body(answer))
        return None

    return _fault("broken_tool_json", action, K.INVALID_RESPONSE, after_content=True)


# -- streams ------------------------------------------------------------------------------------------


def _spoil(
    name: str,
    after: int,
    kind: FailureKind,
    streamed: Callable[[Exchange, Stream], Coroutine[Any, Any, None] | None],
    plain: Callable[[Exchange, bytes], Coroutine[Any, Any, None] | None],
    *,
    reply: replies.Reply | None = None,
    **rest: Any,
) -> Fault:
    """A stream that goes well for ``after`` content chunks; the rest is up to ``streamed``.

    ``plain`` gets the body of an answer instead.
    """

    def action(x: Exchange) -> Coroutine[Any, Any, None] | None:
        answer = reply.answer(x.chat) if reply else _speech(after)
        if not _streams(x):
            return plain(x, x.good_body(answer))
        stream = x.good_stream(answer)
        x.write(x.stream_head() + chunks((*stream.head, *stream.content[:after])))
        return streamed(x, stream)

    return _fault(
        f"{name}_{'after' if after else 'before'}_content",
        action,
        rest.pop("plain_kind", kind),
        kind,
        after_content=after > 0,
        **rest,
    )


def _cut_body(x: Exchange, body: bytes) -> None:
    x.write(x.head(200, length=len(body)) + body[: len(body) // 2])
    x.close()


def _end_body(x: Exchange, body: bytes) -> None:
    x.respond(200, body[: len(body) // 2])


async def _stall_body(x: Exchange, body: bytes) -> None:
    x.write(x.head(200, length=len(body)) + body[: len(body) // 2])
    await x.forever()


def _end(x: Exchange, events: Iterable[bytes] = ()) -> None:
    x.write(chunks(events) + b"0\r\n\r\n")
    x.finish()


def cut_stream(after: int = 2, *, reply: replies.Reply | None = None) -> Fault:
    """The TCP connection closes after ``after`` content chunks; else in the middle of the body."""
    return _spoil("cut_stream", after, K.CONNECTION, lambda x, _: x.close(), _cut_body, reply=reply)


def end_stream_early(after: int = 2, *, reply: replies.Reply | None = None) -> Fault:
    """A clean end of the HTTP body after ``after`` content chunks, without any of the protocol's own
    marks; else half a body of the right length."""
    return _spoil(
        "end_stream_early", after, K.INVALID_RESPONSE, lambda x, _: _end(x), _end_body, reply=reply
    )


def no_end_marker(*, reply: replies.Reply | None = None) -> Fault:
    """All content and the finish reason, but no ``[DONE]`` or ``message_stop``; else half a body."""

    def streamed(x: Exchange, stream: Stream) -> None:
        _end(x, (*stream.content[1:], *stream.tail))

    spoilt = _spoil("no_end_marker", 1, K.INVALID_RESPONSE, streamed, _end_body, reply=reply)
    return _fault("no_end_marker", spoilt.action, spoilt.kind, after_content=True)


def broken_event(after: int = 2, *, reply: replies.Reply | None = None) -> Fault:
    """An event of cut JSON after ``after`` content chunks, then the stream goes on; else half a
    body."""

    def streamed(x: Exchange, stream: Stream) -> None:
        broken = x.wire.event('{"id":"chatcmpl-broken","choices":[{"index":0,"del')
        _end(x, (broken, *stream.content[after:], *stream.tail, stream.end))

    return _spoil("broken_event", after, K.INVALID_RESPONSE, streamed, _end_body, reply=reply)


def stall(after: int = 2, *, reply: replies.Reply | None = None) -> Fault:
    """Silence after ``after`` content chunks, the connection stays open; else after half a body."""
    return _spoil("stall", after, K.TIMEOUT, lambda x, _: x.forever(), _stall_body, reply=reply)


def _error_event(name: str, problem: Problem, after: int, kind: FailureKind, **rest: Any) -> Fault:
    def streamed(x: Exchange, _: Stream) -> None:
        _end(x, [x.wire.event(dump(x.wire.error(problem, x.chat)), error=True)])

    def plain(x: Exchange, _: bytes) -> None:
        x.fail(problem)

    return _spoil(name, after, kind, streamed, plain, **rest)


def error_in_stream(after: int = 0) -> Fault:
    """An error event inside a 200 stream after ``after`` content chunks; else a 500."""
    return _error_event("error_in_stream", Problem(500), after, K.SERVER)


def overloaded_in_stream(after: int = 0) -> Fault:
    """The overload as an event inside a 200 stream; else :func:`overloaded`."""
    problem = Problem(503, "overloaded")
    rest = {"by_provider": {"anthropic": K.RATE_LIMIT}}
    return _error_event("overloaded_in_stream", problem, after, K.SERVER, **rest)


def rate_limit_in_stream(after: int = 0) -> Fault:
    """The rate limit as an event inside a 200 stream; else :func:`rate_limit`."""
    return _error_event("rate_limit_in_stream", Problem(429), after, K.RATE_LIMIT)


def quota_in_stream(after: int = 0) -> Fault:
    """The spent limit as an event inside a 200 stream; else :func:`quota`."""
    return _error_event("quota_in_stream", Problem(429, "quota"), after, K.QUOTA)


# -- chance -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chance(Outcome):
    """Decides anew for each request; the journal names what was played."""

    name: str
    choose: Callable[[Request], Outcome]

    def resolve(self, request: Request) -> Outcome:
        return self.choose(request).resolve(request)

    def play(self, x: Exchange) -> Coroutine[Any, Any, None] | None:
        return self.resolve(x.request).play(x)


def flaky(
    rng: random.Random,
    probability: float = 0.5,
    fault: Outcome | None = None,
    otherwise: Outcome | None = None,
) -> Chance:
    """``fault`` (none: any of :data:`RANDOM`) with this probability, else an answer.

    Meant for ``always()``: ``sim.groq.always(faults.flaky(random.Random(1), 0.3))``.
    """
    good = otherwise or replies.text()

    def choose(_: Request) -> Outcome:
        return (fault or random_fault(rng)) if rng.random() < probability else good

    return Chance("flaky", choose)


def random_fault(rng: random.Random, names: Iterable[str] | None = None) -> Fault:
    """One of :data:`RANDOM`, or of the names given."""
    return ALL[rng.choice(tuple(RANDOM if names is None else names))]()


ALL: Mapping[str, Callable[[], Fault]] = {
    "refused": refused,
    "reset_before_headers": partial(reset, "before_headers"),
    "reset_after_headers": partial(reset, "after_headers"),
    "reset_mid_body": partial(reset, "mid_body"),
    "close_mid_body": close,
    "blackhole": blackhole,
    "headers_then_silence": headers_then_silence,
    "slow_drip": slow_drip,
    **{f"status_{code}": partial(status, code) for code in STATUSES},
    "bad_request": bad_request,
    "context_length": context_length,
    "content_policy": content_policy,
    "overloaded": overloaded,
    "quota": quota,
    "credit_spent": credit_spent,
    "organization_disabled": organization_disabled,
    "unsupported_region": unsupported_region,
    "unknown_model": unknown_model,
    "retired_model": retired_model,
    "unsupported_operation": unsupported_operation,
    "too_many_tokens": partial(too_many_tokens, 3),
    "no_capacity": no_capacity,
    "failed_tool_call": failed_tool_call,
    "failed_json": failed_json,
    "input_and_output_too_long": input_and_output_too_long,
    "flagged_prompt": flagged_prompt,
    "long_parameter": long_parameter,
    "rate_limit": rate_limit,
    "rate_limit_seconds": partial(rate_limit, 3),
    "rate_limit_http_date": partial(rate_limit, 3, http_date=True),
    "rate_limit_ms": partial(rate_limit, ms=1500),
    "rate_limit_reset_requests": partial(rate_limit, reset_requests=3),
    "rate_limit_reset_tokens": partial(rate_limit, reset_tokens=360),
    "echo_secrets_400": partial(echo_secrets, 400),
    "echo_secrets_401": partial(echo_secrets, 401),
    "echo_secrets_500": echo_secrets,
    "redirect_same_host": redirect,
    "redirect_other_host": partial(redirect, same_host=False),
    "html": html,
    "null": null,
    "empty_object": empty_object,
    "empty_body": empty_body,
    "no_choices": no_choices,
    "null_choices": null_choices,
    "empty_content": empty_content,
    "null_content": null_content,
    "broken_tool_json": broken_tool_json,
    "wrong_content_type": wrong_content_type,
    "gzip_garbage": gzip_garbage,
    "not_utf8": not_utf8,
    "huge_body": huge_body,
    "cut_stream_before_content": partial(cut_stream, 0),
    "cut_stream_after_content": cut_stream,
    "end_stream_early_before_content": partial(end_stream_early, 0),
    "end_stream_early_after_content": end_stream_early,
    "no_end_marker": no_end_marker,
    "broken_event_before_content": partial(broken_event, 0),
    "broken_event_after_content": broken_event,
    "stall_before_content": partial(stall, 0),
    "stall_after_content": stall,
    "error_in_stream_before_content": error_in_stream,
    "error_in_stream_after_content": partial(error_in_stream, 2),
    "overloaded_in_stream_before_content": overloaded_in_stream,
    "overloaded_in_stream_after_content": partial(overloaded_in_stream, 2),
    "rate_limit_in_stream_before_content": rate_limit_in_stream,
    "rate_limit_in_stream_after_content": partial(rate_limit_in_stream, 2),
    "quota_in_stream_before_content": quota_in_stream,
    "quota_in_stream_after_content": partial(quota_in_stream, 2),
}
"""Every fault with its usual arguments, by a name that says them."""

_SLOW_OR_LASTING = {"refused", "huge_body", "redirect_same_host", "wrong_content_type"}
RANDOM: tuple[str, ...] = tuple(
    name
    for name, factory in ALL.items()
    if name not in _SLOW_OR_LASTING
    and factory().kind not in (K.TIMEOUT, K.BAD_REQUEST, None)
    and not (factory().after_content and "_stream" in name)
)
"""What :func:`random_fault` draws from: quick, curable by another provider, gone after one request.

No timeouts, nothing that is the caller's fault, no closed port, and of the faults that strike a stream
after content only those that every request meets."""

"""A webhook that lets a model draft the reply to a support ticket.

    pip install fastapi uvicorn
    export OPENAI_API_KEY=... LLM_ENABLE_CONNECTION_WARMING=true
    uvicorn fastapi_webhook:app --app-dir examples

    curl localhost:8000/tickets -H 'content-type: application/json' \
        -d '{"id": 7, "text": "My invoice is wrong."}'

One line concerns connections: ``lifespan=llm_unified.lifespan``. The first ticket is answered as quickly as
the thousandth, and nothing is left open when the server stops.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

import llm_unified

app = FastAPI(title="Ticket replies", lifespan=llm_unified.lifespan)

INSTRUCTIONS = "Draft a short and friendly reply to this support ticket. Promise nothing."


class Ticket(BaseModel):
    """What the ticket system posts."""

    id: int
    text: str


class Draft(BaseModel):
    """What it gets back."""

    ticket: int
    reply: str
    provider: str
    seconds: float


@app.post("/tickets")
async def draft_reply(ticket: Ticket, request: Request) -> Draft:
    """Answer within eight seconds, by whichever provider can."""
    service: llm_unified.UnifiedLLMService = request.state.llm_service
    try:
        response = await service.generate_response_async(
            messages=[
                {"role": "system", "content": INSTRUCTIONS},
                {"role": "user", "content": ticket.text},
            ],
            max_tokens=200,
            deadline=8.0,
        )
    except llm_unified.AllProvidersFailedError as error:
        retry_after = (
            {} if error.retry_after is None else {"Retry-After": f"{error.retry_after:.0f}"}
        )
        raise HTTPException(503, "no model answers at the moment", retry_after) from error
    return Draft(
        ticket=ticket.id,
        reply=response.content,
        provider=response.provider,
        seconds=sum(attempt.seconds for attempt in response.attempts),
    )


@app.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """For a load balancer and for people."""
    service: llm_unified.UnifiedLLMService = request.state.llm_service
    report = service.get_health()
    usable = [
        name
        for name, entry in report.items()
        if entry["status"] in ("healthy", "degraded", "unknown")
    ]
    return {"ok": bool(usable), "providers": report, "stats": service.get_stats()["stats"]}

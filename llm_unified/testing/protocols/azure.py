"""What Azure OpenAI does differently from OpenAI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_unified.testing.protocols.openai import WORDS, OpenAIWire, Route, pair
from llm_unified.testing.wire import Answer, Chat, Endpoint, Problem, RefusedError, dump

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_unified.testing.journal import Request

__all__ = ["AzureWire"]

SAFE = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}
FILTERED = SAFE | {"violence": {"filtered": True, "severity": "medium"}}


class AzureWire(OpenAIWire):
    """Deployments in the path, ``api-version`` in the query, ``api-key`` in a header."""

    provider = "azure_openai"
    model = "gpt-4o"
    key_prefix = "simulatedazurekey"
    api_version = "2024-10-21"
    words = WORDS | {
        "401": ("", "401", "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."),
        "404": ("", "DeploymentNotFound", "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."),
        "429": ("", "429", "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry later."),
        "500": ("", "InternalServerError", "The server had an error while processing your request. Sorry about that!"),
        "503": ("", "ServiceUnavailable", "The service is temporarily unable to process your request. Please try again later."),
        "overloaded": ("", "ServiceUnavailable", "The service is temporarily overloaded. Please try again later."),
        "content_policy": ("", "content_filter", "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry."),
        "unknown_url": ("", "404", "Resource not found"),
        "quota": ("", "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
        "credit": ("", "403", "Out of call volume quota. Quota will be replenished in 12:34:56."),
        "organization": ("", "PermissionDenied", "The principal lacks the required data action to perform this operation."),
        "region": ("", "403", "Access denied due to Virtual Network/Firewall rules."),
        "model_unknown": ("", "DeploymentNotFound", "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."),
        "model_retired": ("", "DeploymentNotFound", "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."),
        "operation": ("", "OperationNotSupported", "The chatCompletion operation does not work with the specified model, {model}. Please choose different model and try again."),
        "tokens": ("", "429", "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry later."),
        "capacity": ("", "NoCapacity", "The system is currently experiencing high demand and cannot process your request."),
        "flagged": ("", "invalid_prompt", "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a different prompt."),
    }  # fmt: skip
    statuses = {  # noqa: RUF012 - a ClassVar by its base
        "credit": 403,
        "model_unknown": 404,
        "operation": 400,
        "capacity": 429,
    }

    def base_path(self) -> str:
        return ""

    def route(self, request: Request) -> Route | None:
        path = request.path
        kinds: dict[str, Endpoint] = {"chat/completions": "chat", "embeddings": "embeddings"}
        if path.startswith("/openai/v1/"):  # the newer style: model in the body, no version needed
            rest = path.removeprefix("/openai/v1/")
            return ("models", None) if rest == "models" else pair(kinds.get(rest), None)
        if not request.query.get("api-version"):
            return None
        if path == "/openai/models":
            return "models", None
        if not path.startswith("/openai/deployments/"):
            return None
        deployment, _, rest = path.removeprefix("/openai/deployments/").partition("/")
        return pair(kinds.get(rest), deployment) if deployment else None

    def check(
        self, request: Request, keys: Sequence[str], models: Sequence[str] | None
    ) -> Endpoint:
        try:
            return super().check(request, keys, models)
        except RefusedError as error:
            if error.problem.status == 404 and error.problem.reason == "unknown_url":  # noqa: PLR2004
                raise RefusedError(404, reason="unknown_url") from None
            raise

    def check_key(self, request: Request, keys: Sequence[str]) -> None:
        if request.api_key not in keys:  # an api-key header or, as with Entra ID, a bearer token
            raise RefusedError(401)

    def model_of(self, request: Request, body: dict[str, Any]) -> str:
        route = self.route(request)
        return (route[1] if route else None) or super().model_of(request, body)

    def extras(self, answer: Answer, chat: Chat) -> dict[str, Any]:
        found: dict[str, Any] = {"system_fingerprint": "fp_simulated"}
        if answer != Answer():  # a whole answer, not the frame of a chunk
            found["prompt_filter_results"] = self._prompt_results()
        return found

    def _prompt_results(self) -> list[dict[str, Any]]:
        return [{"prompt_index": 0, "content_filter_results": SAFE}]

    def _results(self, answer: Answer | None) -> dict[str, Any]:
        if answer is not None and answer.finish == "content_filter":
            return FILTERED
        return SAFE

    def completion(self, answer: Answer, chat: Chat) -> dict[str, Any]:
        body = super().completion(answer, chat)
        body["choices"][0]["content_filter_results"] = self._results(answer)
        return body

    def preamble(self, chat: Chat) -> tuple[bytes, ...]:
        first = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
        return (self.event(dump(first | {"prompt_filter_results": self._prompt_results()})),)

    def choice(self, choice: dict[str, Any], answer: Answer | None) -> dict[str, Any]:
        said = "content" in choice["delta"] and choice["delta"].get("role") is None
        filtered = answer is not None and answer.finish == "content_filter"
        return choice | {
            "content_filter_results": self._results(answer) if said or filtered else {}
        }

    def error(self, problem: Problem, chat: Chat) -> dict[str, Any]:
        kind, code, message = self.describe(problem, chat)
        if problem.reason == "content_policy":
            result = FILTERED
            inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": result}
            return {
                "error": {
                    "message": message,
                    "type": None,
                    "param": "prompt",
                    "code": code,
                    "status": 400,
                    "innererror": inner,
                }
            }
        if kind == "":  # the gateway in front of the models has a shape of its own
            return {"error": {"code": code, "message": message}}
        return super().error(problem, chat)

    def headers(self, request_id: str) -> dict[str, str]:
        return {
            "apim-request-id": request_id,
            "x-request-id": request_id,
            "x-ms-region": "Simulated",
            "x-ms-deployment-name": self.model,
            "azureml-model-session": "simulated",
            "x-ratelimit-limit-requests": "500",
            "x-ratelimit-limit-tokens": "50000",
            "x-ratelimit-remaining-requests": "499",
            "x-ratelimit-remaining-tokens": "49000",
        }

"""The vendors' own SDKs accept the simulator as their vendor."""

import importlib

import pytest

from llm_unified.testing import Simulator, faults, replies

MESSAGES = [{"role": "user", "content": "Hi"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ERRORS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
}


@pytest.fixture(scope="module")
def sim():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture(params=["openai", "azure_openai", "groq", "anthropic"])
def vendor(request, sim):
    """The SDK's module, a function that makes a request with it, and the provider."""
    name = request.param
    provider = sim[name]
    sdk = importlib.import_module("openai" if name == "azure_openai" else name)
    options = {"api_key": provider.api_key, "max_retries": 0, "timeout": 60}
    if name == "azure_openai":
        client = sdk.AzureOpenAI(
            azure_endpoint=provider.base_url, api_version="2024-10-21", **options
        )
    else:
        classes = {"openai": "OpenAI", "groq": "Groq", "anthropic": "Anthropic"}
        client = getattr(sdk, classes[name])(base_url=provider.base_url, **options)

    def create(**extra):
        given = {"model": provider.model, "messages": MESSAGES} | extra
        if name == "anthropic":
            return client.messages.create(max_tokens=100, **given)
        return client.chat.completions.create(**given)

    with client:
        yield sdk, create, provider
    provider.reset()


def strictly(value):
    """Raises where a value has the wrong type for the vendor's own definitions."""
    type(value).model_validate(value.model_dump(warnings="error"), strict=True)
    return value


def test_answers_and_tool_calls_fit_the_types(vendor):
    """Answers, refusals and calls validate strictly against the SDK's models."""
    _, create, provider = vendor
    function = {"name": "weather", "parameters": SCHEMA}
    tools = [{"type": "function", "function": function}]
    if provider.name == "anthropic":
        tools = [{"name": "weather", "input_schema": SCHEMA}]
    assert "speaking" in strictly(create()).model_dump_json()
    provider.script(replies.auto(), replies.refusal(), replies.content_filter(), replies.text("x"))
    assert "example city" in strictly(create(tools=tools)).model_dump_json()
    for _ in range(3):
        strictly(create())


def test_streams_fit_the_types(vendor):
    """Every chunk of a stream validates strictly; Azure's first one is special everywhere."""
    _, create, provider = vendor
    provider.script(replies.text("one two"), replies.tool_call("weather", {"city": "Rome"}))
    for said in ("one", "weather"):
        chunks = list(create(stream=True))
        for chunk in chunks[1 if provider.name == "azure_openai" else 0 :]:
            strictly(chunk)
        whole = " ".join(c.model_dump_json() for c in chunks)
        assert said in whole


def test_errors_become_the_right_classes(vendor):
    """Statuses map to the SDK's exceptions, with the vendor's request id."""
    sdk, create, provider = vendor
    for status, name in ERRORS.items():
        provider.script(faults.status(status))
        with pytest.raises(getattr(sdk, name)) as caught:
            create()
        assert status == caught.value.status_code
        assert caught.value.response.headers.get("x-request-id") or caught.value.request_id
    provider.script(faults.overloaded_in_stream(1))
    with pytest.raises(sdk.APIError):
        list(create(stream=True))
    provider.script(faults.cut_stream(1))
    with pytest.raises(Exception, match=r"peer closed|incomplete|Connection error"):
        list(create(stream=True))


@pytest.mark.parametrize("vendor", ["openai"], indirect=True)
def test_lists_and_embeddings(vendor):
    """Models and embeddings (which SDKs ask for in base64) come out right."""
    sdk, _, provider = vendor
    with sdk.OpenAI(api_key=provider.api_key, base_url=provider.base_url) as client:
        assert provider.model == client.models.list().data[0].id
        found = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        assert [1536, 1536] == [len(d.embedding) for d in found.data]

"""YAML → settings, with a line number for everything that is wrong.

``python tests/test_configfile.py`` writes ``config/.env.example`` and the schema anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llm_unified.errors import ConfigurationError
from llm_unified.failures.table import FALLBACK_KINDS
from llm_unified.pool.deployments import plan
from llm_unified.providers import PROVIDERS
from llm_unified.settings import load_settings
from llm_unified.settings.model import PROVIDER_KEYS
from llm_unified.settings.options import (
    CONFIG_FILE,
    ENV_FILE,
    KNOWN_VARIABLES,
    OPTIONS,
    PROVIDER_OPTIONS,
    VARIABLES,
)
from llm_unified.settings.schema import json_schema, render
from llm_unified.settings.yamlfile import YamlFile

CONFIG = Path(__file__).parent.parent / "config"
KEYS = {
    "OPENAI_API_KEY": "sk-1",
    "AZURE_OPENAI_API_KEY": "az-west",
    "AZURE_OPENAI_API_KEY_EAST": "az-east",
    "GROQ_API_KEY": "gsk",
    "ANTHROPIC_API_KEY": "sk-ant",
}


@pytest.fixture
def load(tmp_path):
    """Load settings from a YAML text and some variables."""

    def load(text, **environ):
        file = tmp_path / "llm.yaml"
        file.write_text(text, encoding="utf-8")
        return load_settings(environ, file)

    return load


@pytest.fixture
def problems(load):
    """Load a wrong YAML text; return the problems, with ``llm.yaml`` for the path."""

    def problems(text, **environ):
        with pytest.raises(ConfigurationError) as caught:
            load(text, **environ)
        return [problem[problem.index("llm.yaml") :] for problem in caught.value.problems]

    return problems


# --- What is shipped


HEAD = """\
# Every variable that llm_unified reads, with its default. Copy it, remove the '#' of what you need, and
# name the copy in LLM_ENV_FILE (the variable itself must be in the real environment), or export the
# lines. The real environment is stronger than this file. Times are seconds; 500ms and 2m do as well.
"""
SECTIONS = {
    "primary_provider": "Who is asked",
    "pool_size": "Connections",
    "timeout": "Time",
    "failure_threshold": "Cooldown",
}
"""The headings, by the option that follows."""
HELP = {
    **{option.name: option.help for option in PROVIDER_OPTIONS},
    "api_keys": "Several, separated by commas; a provider's deployments cycle over them",
    "api_key_file": "A mounted secret, one key per line",
}


def env_example():
    """``.env.example``, from the tables that the code reads variables by."""
    return HEAD + "\n".join(_env_lines()) + "\n"


def _env_lines():
    yield from ("", _heading("One provider is enough"))
    last = next(iter(PROVIDERS))
    for variable, loc in VARIABLES.items():
        if len(loc) == 1:
            continue
        _, name, setting = loc
        if name != last:
            yield ""
        last, row = name, PROVIDERS[name]
        defaults = {
            "enabled": True,
            "model": row.default_model,
            "base_url": row.default_base_url,
            "api_version": row.default_api_version,
        }
        yield _line(variable, defaults.get(setting), HELP.get(setting, ""))
    for option in OPTIONS:
        if option.name in SECTIONS:
            yield from ("", _heading(SECTIONS[option.name]))
        text = option.help
        if option.kind == "failures":
            text += f": {', '.join(option.choices)}"
        elif option.high:
            text += f", {option.low:g} to {option.high:g} {option.unit}".rstrip()
        yield _line(option.variable, option.default, text)
    yield from ("", _heading("Files"))
    yield _line(CONFIG_FILE, None, "YAML, see llm.yaml")
    yield _line(ENV_FILE, None, "A file like this one")


def _heading(text):
    return f"# --- {text} ".ljust(100, "-")


def _line(variable, default, text):
    value = "all" if default == FALLBACK_KINDS else default
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, float):
        value = f"{value:g}"
    line = f"#{variable}={'' if value is None else value}"
    return f"{line:36}  # {text}" if text else line


def test_the_example_loads_and_says_the_defaults():
    """The documented file works as it is, and its global values are the defaults it claims."""
    settings = load_settings(KEYS, CONFIG / "llm.yaml")
    assert settings.chain == ("openai", "azure_openai", "groq", "anthropic")
    for option in OPTIONS[2:]:
        assert getattr(settings, option.name) == option.default
    assert settings.provider("openai").timeout == 45.0
    west, east = settings.provider("azure_openai").deployments
    assert (west.weight, east.weight, east.base_model) == (2, 1, "azure/gpt-4o")
    assert [k.get_secret_value() for k in (*west.api_keys, *east.api_keys)] == [
        "az-west",
        "az-east",
    ]
    gemini = load_settings(KEYS | {"GEMINI_API_KEY": "g"}, CONFIG / "llm.yaml").provider("gemini")
    assert gemini.deployments[0].litellm_model == "gemini/gemini-2.0-flash"


def test_the_example_mentions_every_key():
    """Nothing that the reader knows is missing from the documented file."""
    text = (CONFIG / "llm.yaml").read_text(encoding="utf-8")
    known = {*(option.name for option in OPTIONS), *PROVIDER_KEYS} - {"api_keys"}
    assert {key for key in known if f"{key}:" not in text and f"`{key}`" not in text} == set()


def test_the_example_env_file_has_every_variable_with_its_default():
    """Neither a forgotten nor an invented name; uncommented it still loads."""
    text = (CONFIG / ".env.example").read_text(encoding="utf-8")
    assert text == env_example()
    lines = [line[1:] for line in text.splitlines() if line.startswith("#") and line[1:2].isupper()]
    lines = [line for line in lines if "=" in line.split()[0]]
    assert sorted(line.partition("=")[0] for line in lines) == sorted(KNOWN_VARIABLES)
    environ = {
        k: v.partition(" #")[0].strip() for k, _, v in (line.partition("=") for line in lines)
    }
    environ = {k: v for k, v in environ.items() if v and not v.startswith("#")}
    keys = {"OPENAI_API_KEY": "k", "GROQ_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    keys |= {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://x.example"}
    keys |= {"AZURE_OPENAI_DEPLOYMENT": "gpt-4"}
    said, default = load_settings(environ | keys), load_settings(keys)
    assert said.model_copy(update={"sources": ()}) == default.model_copy(update={"sources": ()})


def test_the_schema_is_up_to_date_and_accepts_the_example():
    """``config/llm.schema.json`` is what the program prints, and the example obeys it."""
    text = (CONFIG / "llm.schema.json").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "llm_unified.settings.schema"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text == render() == printed
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load((CONFIG / "llm.yaml").read_text(encoding="utf-8")), schema)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pool_sise": 3},
        {"pool_size": 65},
        {"warm_probe": "ping"},
        {"providers": {"openai": {"api_key": "sk-literal"}}},
        {"providers": {"openai": {"modle": "x"}}},
        {"providers": {"x": {"deployments": []}}},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(wrong):
    """An editor underlines the same mistakes."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json_schema())


# --- What a list of variables says badly


def test_a_provider_of_ones_own_is_two_lines(load):
    """Anything that LiteLLM speaks, by name; it joins the default chain when its key is there."""
    text = "providers:\n  gemini: {model: gemini/gemini-2.0-flash, api_key_env: GEMINI_API_KEY}\n"
    settings = load(text, GEMINI_API_KEY="g-1", OPENAI_API_KEY="k")
    assert settings.chain == ("openai", "gemini")
    (gemini,) = settings.provider("gemini").deployments
    assert (gemini.model, gemini.litellm_model) == ("gemini/gemini-2.0-flash",) * 2
    assert gemini.api_base is None
    assert settings.secrets() == ("g-1", "k")
    assert load(text, OPENAI_API_KEY="k").chain == ("openai",)


def test_a_provider_of_ones_own_may_resemble_a_known_one(load):
    """``azure_eu`` is read as Azure, ``vllm`` as a keyless server of OpenAI's kind."""
    settings = load(
        """
primary_provider: azure-EU
providers:
  azure_eu: {deployment: azure/gpt-4, endpoint: https://eu.example/openai/, api_key_env: EU}
  vllm:
    model: openai/qwen3
    base_url: http://localhost:8000
""",
        EU="k",
    )
    assert settings.chain == ("azure_eu", "vllm")
    (azure,) = settings.provider("azure_eu").deployments
    assert (azure.api_base, azure.api_version) == ("https://eu.example", "2024-10-21")
    (vllm,) = settings.provider("vllm").deployments
    assert (vllm.api_base, vllm.api_keys) == ("http://localhost:8000/v1", ())


def test_several_deployments_share_what_the_provider_says(load):
    """A deployment's own value wins over the provider's, wherever that one came from."""
    settings = load(
        """
providers:
  openai:
    timeout: 5
    model: gpt-4.1
    deployments:
      - {}
      - model: gpt-4.1-mini
        weight: 3
        api_keys_env: [TEAM_A, TEAM_B]
""",
        OPENAI_API_KEY="k0",
        TEAM_A="a1,a2",
        TEAM_B="b1",
        LLM_POOL_SIZE="1",
    )
    first, second = settings.provider("openai").deployments
    assert (first.model, first.weight, second.model, second.weight) == (
        "gpt-4.1",
        1,
        "gpt-4.1-mini",
        3,
    )
    assert [k.get_secret_value() for k in second.api_keys] == ["a1", "a2", "b1"]
    assert [copy.credential for copy in plan(settings)] == [
        "openai/key1",
        "openai/key2",
        "openai/key1",
        "openai/key3",
        "openai/key1",
        "openai/key4",
    ]


def test_keys_come_from_variables_and_files(load, tmp_path):
    """Every allowed reference, alone and together."""
    (tmp_path / "mounted").write_text("k3\n")
    text = f"""
providers:
  groq:
    api_key: os.environ/ONE
    api_keys: [os.environ/TWO]
    api_key_file: {tmp_path / "mounted"}
"""
    settings = load(text, ONE="k1", TWO="k2")
    keys = settings.provider("groq").deployments[0].api_keys
    assert [key.get_secret_value() for key in keys] == ["k1", "k2", "k3"]


def test_an_origin_names_what_led_to_the_value(tmp_path):
    """A variable, a mounted file, the ``.env`` file: each by its own name, with YAML's line."""
    key, env, file = tmp_path / "key", tmp_path / "env", tmp_path / "llm.yaml"
    key.write_text("k")
    env.write_text("GROQ_KEY=k\nANTHROPIC_API_KEY=k\n")
    file.write_text(
        "providers:\n"
        "  groq: {api_key_env: GROQ_KEY, model: os.environ/GROQ_NAME}\n"
        f"  own: {{model: a/b, api_key_file: {key}}}\n"
    )
    environ = {"OPENAI_API_KEY_FILE": str(key), "LLM_ENV_FILE": str(env), "GROQ_NAME": "x"}
    origins = load_settings(environ, file).origins
    assert origins["providers.openai.api_key"] == f"file {key} (OPENAI_API_KEY_FILE)"
    assert origins["providers.anthropic.api_key"] == f"env file {env} (ANTHROPIC_API_KEY)"
    assert origins["providers.groq.api_key"] == f"env file {env} (GROQ_KEY, {file}:2)"
    assert origins["providers.groq.model"] == f"environment GROQ_NAME ({file}:2)"
    assert origins["providers.own.api_key"] == f"file {key} ({file}:3)"


def test_any_text_may_be_taken_from_a_variable(load):
    """``os.environ/NAME`` works for an address and for Redis as well."""
    text = "redis_url: os.environ/CACHE\nproviders: {openai: {base_url: os.environ/PROXY}}"
    settings = load(text, CACHE="redis://:pw@h/0", PROXY="https://p.example", OPENAI_API_KEY="k")
    assert settings.redis_url.get_secret_value() == "redis://:pw@h/0"
    assert settings.provider("openai").deployments[0].api_base == "https://p.example/v1"


def test_lists_and_yaml_spellings_are_understood(load):
    """Lists in both styles, dates as versions, on and off, nulls as not set."""
    settings = load(
        """
fallback_providers:
  - Groq
  - azure-openai
enable_fallback: on
fallback_on: [server, timeout]
timeout: 1m
cooldown: ~
retries:
providers:
  azure_openai: {endpoint: https://x.example, deployment: gpt-4, api_version: 2024-06-01}
  anthropic:
""",
        **KEYS,
    )
    assert settings.chain == ("openai", "groq", "azure_openai")
    assert (settings.timeout, settings.cooldown, settings.retries) == (60.0, 10.0, 0)
    assert settings.provider("azure_openai").deployments[0].api_version == "2024-06-01"
    assert len(settings.fallback_on) == 2
    assert load("fallback_providers: []", **KEYS).chain == ("openai",)


def test_the_file_may_be_named_in_the_environment_or_the_env_file(tmp_path):
    """``LLM_CONFIG_FILE`` counts wherever it stands; an argument is stronger."""
    one, two, env = tmp_path / "1.yaml", tmp_path / "2.yaml", tmp_path / "env"
    one.write_text("pool_size: 1")
    two.write_text("pool_size: 2")
    env.write_text(f"LLM_CONFIG_FILE={one}\n")
    base = {"OPENAI_API_KEY": "k"}
    assert load_settings(base | {"LLM_ENV_FILE": str(env)}).pool_size == 1
    assert load_settings(base | {"LLM_CONFIG_FILE": str(one)}, two).pool_size == 2
    (problem,) = _problems(base | {"LLM_CONFIG_FILE": str(tmp_path / "no.yaml")})
    assert "LLM_CONFIG_FILE" in problem


def _problems(environ):
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    return caught.value.problems


# --- What is wrong


def test_every_problem_has_its_line(problems):
    """One error tells all of them, each with path, line and a hint."""
    found = problems(
        """\
pool_sise: 3
pool_size: 900
gemini: {model: x}
redis_url: redis://:hunter2@h/0
fallback_providers: [gorq, openai]
providers:
  openai:
    api_key: sk-hunter2hunter2
    modle: gpt
    timeout: {a: 1}
  groq:
    api_key_env: gsk_hunter2
  own: {}
  other:
    model: mistral-large
    model: mistral-small
    deployments: 3
  "Bad Name!": {model: a/b}
""",
        OPENAI_API_KEY="k",
    )
    assert "hunter2" not in "".join(found)
    expected = {
        1: "did you mean pool_size?",
        2: "between 1 and 64",
        3: "under `providers:`",
        4: "holds a password",
        5: "did you mean groq?",
        8: "api_key_env: NAME",
        9: "did you mean model?",
        10: "must be one value",
        12: "in capitals",
        13: "has no model",
        15: "LiteLLM's name",
        16: "stands there twice",
        17: "must be a list",
        18: "is no name",
    }
    lines = [int(text.split(":")[1].split()[0]) for text in found]
    assert lines == sorted(lines)
    by_line = {int(text.split(":")[1].split()[0]): text for text in found}
    assert by_line.keys() == expected.keys()
    for line, words in expected.items():
        assert words in by_line[line]


def test_a_reference_to_an_unset_variable_names_it(problems):
    """The chain names gemini, gemini names the variable, the variable is not there."""
    text = """\
primary_provider: gemini
providers:
  gemini:
    model: gemini/flash
    api_key_env: GEMINI_API_KEY
    base_url: os.environ/GEMINI_URL
"""
    found = problems(text)
    assert found[0].startswith("llm.yaml:5 (api_key_env)")
    assert "Set GEMINI_API_KEY" in found[0]
    assert found[1].startswith("llm.yaml:6 (base_url)")
    assert "GEMINI_URL" in found[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML"),
        ("a: b: c", "llm.yaml:1 is not YAML. Check the indentation or the colon"),
        ("a:\n\t- b", "llm.yaml:2 is not YAML. Indent with spaces"),
        ("fallback_providers: {groq: 1}", "must be a list of providers"),
        ("providers:\n  model: x", "llm.yaml:2 (model) belongs to a provider: indent it under"),
        ("llm:\n  primary_provider: openai", "Options stand at the top level"),
        ("- 1", "`key: value`"),
        ("providers: [openai]", "`key: value`"),
        ("providers: {openai: {deployments: [3]}}", "`key: value`"),
        ("LLM_POOL_SIZE: 3", "did you mean pool_size?"),
        ("? [a]\n: 1", "unknown key"),
        ("providers: {openai: {api_key: os.environ/lower}}", "in capitals"),
        ("providers: {openai: {model: os.environ/lower}}", "os.environ/NAME"),
        ("providers: {openai: {api_keys: [{a: 1}]}}", "must not hold a key"),
        ("redis_url: redis://[", "password"),
    ],
)
def test_broken_files_are_explained(problems, text, words):
    """No exception of the parser escapes, and the line is named."""
    found = problems(text, OPENAI_API_KEY="k")
    assert any(words in problem for problem in found)


def test_a_file_that_is_too_large_is_not_parsed(tmp_path):
    """A dump named by mistake is refused by its size; one at the limit is read."""
    file = tmp_path / "llm.yaml"
    file.write_text("pool_size: 3\n" + "# comment\n" * 98_000)
    assert load_settings({"OPENAI_API_KEY": "k"}, file).pool_size == 3
    file.write_text("a: b\n" * 300_000)
    with pytest.raises(ConfigurationError, match="larger than 1 MB"):
        load_settings({}, file)
    file.write_text("a: b\n" * 100_000)
    with pytest.raises(ConfigurationError, match="too many entries"):
        load_settings({}, file)


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
        "providers: &p\n  openai: *p\n",
        "a: &a [*a]\n",
    ],
)
def test_aliases_that_grow_without_end_are_refused(problems, text):
    """A few hundred bytes stand for billions of nodes, or for themselves."""
    (problem,) = problems(text, OPENAI_API_KEY="k")
    assert problem.startswith("llm.yaml repeats itself through aliases")


def test_a_key_with_an_escape_reaches_no_terminal(problems):
    """The message is printed and logged."""
    found = problems('"pool\\x1b[31m": 1\nproviders: {"\\x07": {}, openai: {"\\x08": 1}}\n')
    assert len(found) == 3
    assert all(problem.isprintable() for problem in found)


def test_an_alias_is_fine(load):
    """Two providers may share a block."""
    text = "providers:\n  openai: &p {timeout: 5}\n  groq: *p\n"
    settings = load(text, OPENAI_API_KEY="k", GROQ_API_KEY="k")
    assert [provider.timeout for provider in settings.providers] == [5.0, 5.0]


def test_a_deeply_nested_file_is_no_yaml_of_ours(tmp_path):
    """No recursion error escapes."""
    (tmp_path / "llm.yaml").write_text("[" * 10_000)
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        load_settings({"OPENAI_API_KEY": "k"}, tmp_path / "llm.yaml")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    """Editors on Windows write one."""
    file = tmp_path / "llm.yaml"
    file.write_bytes(b"\xef\xbb\xbfpool_size: 4\r\n")
    assert load_settings({"OPENAI_API_KEY": "k"}, file).pool_size == 4


def test_a_model_that_leads_elsewhere_is_refused_by_its_line(problems):
    """Also in a deployment of its own."""
    text = "providers:\n  openai:\n    deployments:\n      - model: a/../b\n"
    (problem,) = problems(text, OPENAI_API_KEY="k")
    assert problem.startswith("llm.yaml:4 (model) must not hold '..'")


def test_an_empty_file_says_nothing(load):
    """Comments alone are a file, too."""
    assert load("# nothing yet\n", OPENAI_API_KEY="k").pool_size == 3


def test_a_variable_without_effect_is_pointed_out(load):
    """Where every deployment has a model of its own, OPENAI_MODEL does nothing, and that is said."""
    from structlog.testing import capture_logs

    with capture_logs() as logs:
        load(
            "providers: {openai: {deployments: [{model: a}, {model: b}]}}",
            OPENAI_API_KEY="k",
            OPENAI_MODEL="c",
        )
    assert [(row["event"], row["variable"]) for row in logs] == [
        ("setting_without_effect", "OPENAI_MODEL")
    ]


def test_a_line_that_a_variable_outdoes_is_pointed_out(load):
    """Both are named; a line that says the same is fine, and so is a variable that it asks for."""
    from structlog.testing import capture_logs

    text = """\
primary_provider: groq
pool_size: 3
providers:
  openai: {api_key_env: LLM_MY_KEY}
"""
    with capture_logs() as logs:
        load(
            text,
            OPENAI_API_KEY="k",
            GROQ_API_KEY="k",
            LLM_MY_KEY="other",
            LLM_PRIMARY_PROVIDER="openai",
            LLM_POOL_SIZE="3",
        )
    remarks = [row["remark"].partition("llm.yaml")[2] for row in logs]
    assert remarks == [
        ":1 is without effect: LLM_PRIMARY_PROVIDER is stronger.",
        ":4 is without effect: OPENAI_API_KEY is stronger.",
    ]


@given(
    st.recursive(
        st.text(max_size=8) | st.integers() | st.none() | st.booleans(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*PROVIDER_KEYS, *PROVIDERS, "providers", "pool_size"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_no_file_breaks_the_reader(tmp_path_factory, content):
    """Whatever stands in a YAML file, the outcome is settings or our own error."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    layer = YamlFile(file, KEYS)
    try:
        load_settings(KEYS, file)
    except ConfigurationError as error:
        assert set(layer.problems) <= set(error.problems)


if __name__ == "__main__":
    (CONFIG / ".env.example").write_text(env_example(), encoding="utf-8")
    (CONFIG / "llm.schema.json").write_text(render(), encoding="utf-8")

"""The stand-alone simulator and the pytest fixtures."""

import argparse
import os
import re
import signal
import subprocess
import sys

import httpx
import pytest

from llm_unified.testing import __main__ as program

pytest_plugins = ["pytester"]


def test_serves_until_a_signal_comes():
    """It prints the environment, plays the scripts, and ends with 0 on SIGTERM and SIGINT."""
    command = [sys.executable, "-W", "error", "-m", "llm_unified.testing"]
    options = ["--providers", "groq,openai", "--script", "groq=status_500*2,text", "--prefix", "p"]
    for number in (signal.SIGTERM, signal.SIGINT):
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
            lines = [process.stdout.readline() for _ in range(11)]
            env = dict(re.fullmatch(r"export (\w+)=(.*)\n", ln).groups() for ln in lines)
            assert "groq" == env["LLM_PRIMARY_PROVIDER"]
            url = env["GROQ_BASE_URL"].strip("'") + "/openai/v1/chat/completions"
            headers = {"authorization": f"Bearer {env['GROQ_API_KEY']}"}
            body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
            with httpx.Client() as client:
                answers = [client.post(url, headers=headers, json=body) for _ in range(3)]
            assert [500, 500, 200] == [a.status_code for a in answers]
            os.kill(process.pid, number)
            assert 0 == process.wait(10)


def test_wrong_options_say_what_is_right():
    """An unknown outcome or provider is answered with the list of the known ones."""
    provider, found = program.outcomes("openai=text,html*2")
    assert ("openai", 3) == (provider, len(found))
    for text in ("openai=nonsense", "nobody=text", "openai"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"openai|There are"):
            program.outcomes(text)
    with pytest.raises(SystemExit):
        program.main(["--providers", "nobody"])


PLUGIN = "llm_unified.testing.pytest_plugin"


@pytest.mark.parametrize(
    "conftest",
    ["", f"pytest_plugins = ['{PLUGIN}']", f"from {PLUGIN} import *"],
    ids=["nothing", "pytest_plugins", "star import"],
)
def test_the_plugin_gives_fixtures(pytester, conftest):
    """A user's test suite has them without a line of its own, and may still name them as before."""
    pytester.makeconftest(conftest)
    pytester.makepyfile(
        """
        import os
        import urllib.request

        def test_environ(llm_environ, llm_simulator, llm_network):
            assert llm_environ is llm_simulator
            assert os.environ["OPENAI_BASE_URL"] == llm_simulator.openai.base_url
            proxy = llm_network(llm_simulator.openai)
            request = urllib.request.Request(
                proxy.rewrite(llm_simulator.openai.base_url) + "/models",
                headers={"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
            )
            with urllib.request.urlopen(request) as response:
                assert response.status == 200

        def test_tls(llm_simulator_tls):
            assert llm_simulator_tls.ca_file
        """
    )
    result = pytester.runpytest_subprocess(
        "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio"
    )
    result.assert_outcomes(passed=2)


def test_pytest_starts_as_quickly_as_without_the_plugin(pytester):
    """Where no test asks for it, the simulator stays unloaded, and `-p no:` keeps the plugin out."""
    pytester.makepyfile(
        """
        import sys

        def test_nothing_of_ours_is_loaded():
            ours = {name for name in sys.modules if name.startswith("llm_unified")}
            plugin = "llm_unified.testing.pytest_plugin"
            assert ours <= {"llm_unified", "llm_unified.testing", "llm_unified.version", plugin}
            print("registered:", plugin in ours)
        """
    )
    options = ["-W", "error", "-s", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:cov"]
    result = pytester.runpytest_subprocess(*options)
    result.stdout.fnmatch_lines(["*registered: True*"])
    result = pytester.runpytest_subprocess(*options, "-p", f"no:{PLUGIN}")
    result.stdout.fnmatch_lines(["*registered: False*"])
    result.assert_outcomes(passed=1)


def test_importing_is_light():
    """The simulator pulls in none of the big packages."""
    code = (
        "import sys, llm_unified.testing\n"
        "heavy = {'litellm', 'openai', 'pydantic', 'httpx', 'aiohttp', 'trustme', 'pytest'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

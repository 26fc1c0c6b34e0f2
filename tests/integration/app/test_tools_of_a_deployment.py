"""Which tools a deployment has, and who suggests their calls: by its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_server import ModelServer, Reply
from vital_engine.engine import Engine
from vital_engine.errors import ConfigError
from vital_engine.monitoring import registry
from vital_engine.nouns import Effect, Question
from vital_engine.services.caching import CachedToolSuggester
from vital_engine.services.tools import ModelSuggester
from vital_engine.settings import Settings, load

WEB = {"pubmed_search", "drug_label", "adverse_event_reports"}
ASKED = Question("How much is left of 80 mg after 3 half-lives?", tenant="local", user="local")


def half_life_left(dose_mg: float, half_lives: int) -> float:
    """What is left of a dose after some half-lives."""
    return dose_mg / 2.0**half_lives


def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello {name}"


@pytest.fixture
def settings(server_folder: Path) -> Settings:
    return Settings(home=server_folder / "home", embedder="none")


async def test_a_function_of_ones_own_is_called(settings: Settings) -> None:
    async with Engine(settings, tools=[half_life_left], watchers=()) as app:
        answer = await app.workflow(2).execute(ASKED)
        assert [(f.tool_call.tool, f.value) for f in answer.tool_results.results] == [("half_life_left", 10.0)]
        assert isinstance(app.services.tool_suggester, CachedToolSuggester)
    with pytest.raises(ConfigError, match="greet: it could never be proposed"):
        async with Engine(settings, tools=[greet], watchers=()):
            raise AssertionError


async def test_nothing_outside_is_asked_unless_a_setting_says_so(settings: Settings) -> None:
    async with Engine(settings, watchers=()) as app:
        assert WEB.isdisjoint(tool.name for tool in app.toolbox)
    both = settings.replace(
        {"web_tools": ["pubmed", "openfda"], "pubmed_email": "a@b", "pubmed_key": "p", "openfda_key": "o"}
    )
    async with Engine(both, watchers=()) as app:
        outside = [tool for tool in app.toolbox if tool.name in WEB]
        assert {tool.name for tool in outside} == WEB
        assert all(tool.egress and tool.consent and tool.effect is Effect.EFFECT for tool in outside)
        # By policy it is never called: a person must say so.
        found = await app.workflow(2).execute(
            Question("Search PubMed for statin intolerance", "local", "local", expert="pharmacovigilance")
        )
        (decision,) = found.consent.decisions
        assert (decision.tool_call.tool, decision.approved) == ("pubmed_search", False)
        assert found.tool_results.results == ()
        paused = await app.workflow(1).execute(
            Question("Search PubMed for statin intolerance", "local", "local", expert="pharmacovigilance")
        )
        assert [approval.tool_call.tool for approval in paused.approvals] == ["pubmed_search"]
    async with Engine(settings.replace({"web_tools": ["openfda"]}), watchers=()) as app:
        assert {tool.name for tool in app.toolbox} & WEB == {"drug_label", "adverse_event_reports"}


def counted(outcome: str) -> float:
    return registry.get_sample_value("vital_tool_suggestions_total", {"outcome": outcome}) or 0.0


async def test_a_model_that_is_named_suggests_and_its_call_is_kept(settings: Settings) -> None:
    before = {outcome: counted(outcome) for outcome in ("proposed", "unknown_tool")}
    with ModelServer(model="small") as server:
        calls = (("greet", '{"name": "Ann"}'), ("rm", "{}"))
        server.say(Reply("a b", function_calls=calls, prompt_tokens=300), Reply(function_calls=calls))
        prices = {"small": {"input": "0.000001", "output": "0.000002"}}
        wanted = settings.replace(
            {"suggest_model": "small", "suggest_url": server.base_url, "suggest_key": "k", "prices": prices}
        )
        async with Engine(wanted, tools=[greet], watchers=()) as app:
            assert isinstance(app.services.tool_suggester, ModelSuggester)
            answer = await app.workflow(2).execute(ASKED)
            assert [(f.tool_call.tool, f.value) for f in answer.tool_results.results] == [("greet", "Hello Ann")]
            rows = {row.call.purpose: row for row in (await app.turns.show(answer.run_id, app.scope())).cost.rows}
            assert rows["suggest"].usd == answer.cost.usd
            assert (rows["suggest"].call.model, rows["suggest"].price[:8]) == ("small", "settings")
            again = await app.workflow(2).execute(ASKED)  # known: nothing is paid
            assert again.cached == ("suggest",)
            assert [row.call.purpose for row in again.cost.rows] == ["reply"]
        assert len(server.requests) == 1
        assert server.requests[0].headers["authorization"] == "Bearer k"
        assert server.requests[0].body["model"] == "small"
    assert counted("proposed") == before["proposed"] + 1
    assert counted("unknown_tool") == before["unknown_tool"] + 1


async def test_the_model_that_answers_suggests_where_that_is_wanted(settings: Settings) -> None:
    with ModelServer(model="m") as server:
        wanted = settings.replace({"model": "m", "model_url": server.base_url, "model_key": "k", "suggestion_cache": 0})
        async with Engine(wanted, watchers=()) as app:  # naming a model that answers pays for no second call
            assert app.services.tool_suggester is app.toolbox
        async with Engine(wanted.replace({"tool_suggester": "model"}), watchers=()) as app:
            await app.workflow(2).execute(ASKED)
        tools = [each for each in server.requests if each.body.get("tools")]
        assert [(each.headers["authorization"], each.body["model"]) for each in tools] == [("Bearer k", "m")]
        server.requests.clear()
        other = wanted.replace({"suggest_model": "small", "tool_suggester": "matcher"})
        async with Engine(other, watchers=()) as app:
            assert app.services.tool_suggester is app.toolbox


async def test_a_key_travels_only_to_the_server_that_it_is_for(settings: Settings) -> None:
    with ModelServer() as answers, ModelServer() as suggests:
        wanted = {"model": "m", "model_url": answers.base_url, "model_key": "secret", "suggest_model": "s"}
        async with Engine(settings.replace({**wanted, "suggest_url": suggests.base_url}), watchers=()) as app:
            await app.workflow(2).execute(ASKED)
        assert "authorization" not in suggests.requests[0].headers


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"tool_suggester": "magic"}, "tool_suggester must be one of auto, matcher, model"),
        ({"tool_suggester": "model"}, "needs a server that can call functions"),
        ({"tool_suggester": "model", "model": "smollm2"}, "needs a server that can call functions"),
        ({"suggest_model": "small"}, "needs a server that can call functions"),
        ({"tool_suggester": "model", "model_url": "http://127.0.0.1:1/v1"}, "which model suggests"),
        ({"suggest_url": "http://127.0.0.1:1/v1"}, "there is none"),
        ({"suggest_key": "k", "suggest_model": "s", "model_url": "http://127.0.0.1:1/v1"}, "suggest_key is for"),
        ({"web_tools": ["pubmed", "google"]}, "web_tools may name pubmed and openfda, not 'google'"),
        ({"web_tools": 3}, "web_tools must be a list of names"),
    ],
)
def test_settings_that_make_no_sense_are_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Settings().replace(said)


def test_web_tools_are_read_from_the_environment_and_secrets_are_not_shown() -> None:
    environ = {"VITAL_WEB_TOOLS": "pubmed, openfda", "VITAL_PUBMED_KEY": "p", "VITAL_OPENFDA_KEY": "o"}
    settings = load(environ={**environ, "VITAL_SUGGEST_KEY": "s", "VITAL_SUGGEST_MODEL": "m",
                             "VITAL_SUGGEST_URL": "http://127.0.0.1:1/v1"})  # fmt: skip
    assert settings.web_tools == ("pubmed", "openfda")
    assert {settings.shown()[name] for name in ("pubmed_key", "openfda_key", "suggest_key")} == {"(set)"}
    assert load(environ={"VITAL_WEB_TOOLS": "pubmed"}).web_tools == ("pubmed",)
    assert load(environ={}).web_tools == ()

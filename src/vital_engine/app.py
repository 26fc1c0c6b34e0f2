"""The composition root: settings -> services -> modes. The only place that introduces actors to roles.

::

    async with open_app(load()) as app:
        answer = await app.workflow(2).execute(Question("...", tenant="t1", user="u1"))
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigError, ServiceError, SetupError, VitalError
from .flow import run_in_background, shutdown
from .modes import (
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
    ParallelBaseWorkflow,
    TurnSettings,
)
from .modes.settings import KEYS, known
from .monitoring import Tracing, Watcher, default_watchers, log_turn, track_cache, track_tool_suggestion
from .nouns import Expert, Question, Scope
from .ports import LLM, Embedder, Keeper, Replicas, Retriever, Services, ToolSuggester
from .services.caching import Cache, CachedEmbedder, CachedRetriever, CachedToolSuggester
from .services.citations import QuoteChecker
from .services.cost import Prices
from .services.experts import ExpertRouter, shipped_experts
from .services.foresight import Recollection
from .services.llm.factory import open_llm
from .services.llm.remembered import CachedLLM
from .services.quality import quality
from .services.retrieval.embedder import MiniLM
from .services.retrieval.kept import KeptVectors
from .services.retrieval.library import Library
from .services.retrieval.minilm import find_weights
from .services.retrieval.sentence_vectors import SentenceVectors
from .services.support import LogisticJudge, Matcher
from .services.tools import AnyTool, ModelSuggester, OpenFDA, PubMed, ToolArgumentValidator, Toolbox, standard_tools
from .settings import Settings, load, typed
from .store import (
    Conversations,
    Experts,
    Store,
    StoredApprovals,
    StoredConversationLock,
    Summaries,
    Turns,
    TurnVectors,
    open_store,
)
from .store.knowledge import Knowledge

MODES: Mapping[int, type[ParallelBaseWorkflow]] = {
    1: Mode1ManualWorkflow,
    2: Mode2AutomaticWorkflow,
    3: Mode3ChatManualWorkflow,
    4: Mode4ChatAutomaticWorkflow,
}
log = logging.getLogger("vital_engine.app")

DRAIN_SECONDS = 10.0
"""For turns that still run when the engine is closed."""


@dataclass(slots=True)
class App:
    """An engine with its services, as long as :func:`open_app` is open.

    ``notes``: what had to be done without at the start (for example: no embedder, so search by words only).
    """

    settings: Settings
    store: Store
    knowledge: Knowledge
    library: Library
    embedder: Embedder | None
    toolbox: Toolbox
    router: ExpertRouter
    llm: LLM
    turns: Turns
    conversations: Conversations
    experts: Experts
    approvals: StoredApprovals
    services: Services
    notes: tuple[str, ...] = ()
    _workflows: dict[int, ParallelBaseWorkflow] = field(default_factory=dict)
    _file_changed: float = 0.0

    def workflow(self, mode: int) -> ParallelBaseWorkflow:
        """The workflow of *mode*, under the settings of this moment: a changed ``vital.toml`` counts from here on.

        :raises ConfigError: there is no such mode.
        """
        self._reread()
        try:
            return self._workflows[mode]
        except KeyError:
            raise ConfigError(f"there is no mode {mode!r}; there are {', '.join(map(str, self._workflows))}") from None

    async def warm(self) -> None:
        """Make what the first turn would otherwise wait for: vectors of experts and tools, and a model in this process.

        What fails here fails again, and is shown, in the turn that needs it.
        """
        question = Question("warm up", self.settings.tenant, self.settings.user)
        with contextlib.suppress(VitalError):
            brief = await self.router.route(question, mode=2)
            await self.toolbox.suggest(question, brief)
            await self.library.search(question.text, k=1, scope=self.scope())
            if (warm := getattr(self.llm, "warm", None)) is not None:
                await warm()

    def scope(self, tenant: str | None = None, user: str | None = None, domains: tuple[str, ...] = ()) -> Scope:
        return Scope(tenant or self.settings.tenant, user or self.settings.user, domains)

    def _reread(self) -> None:
        """Take over the settings of a turn from the file, if it has changed. A file that is wrong changes nothing."""
        changed = self.settings.changed()
        if changed == self._file_changed:
            return
        self._file_changed = changed
        try:
            settings = turn_settings(load(file=self.settings.file, turn_keys=KEYS))
        except ConfigError as error:
            log.warning("%s was changed and cannot be obeyed: %s", self.settings.file, error)
            return
        for workflow in self._workflows.values():
            workflow.settings = settings


def turn_settings(settings: Settings) -> TurnSettings:
    """The settings of a turn that a deployment asks for. :raises ConfigError: unknown, or of a wrong type."""
    return TurnSettings(**known({key: typed(key, value) for key, value in settings.turn.items()}))


@contextlib.asynccontextmanager
async def open_app(
    settings: Settings | None = None,
    *,
    tools: Sequence[AnyTool | Callable[..., Any]] = (),
    watchers: Iterable[Watcher] | None = None,
) -> AsyncIterator[App]:
    """Everything that an engine needs, opened in the right order and closed in the reverse one.

    :param tools: tools of your own beside those that ship, or plain typed functions; see docs/tools.md. Every expert that
        ships may use them.
    :param watchers: who watches each turn; None: the metrics, logs and traces of this process.
    :raises ConfigError: a setting is impossible.
    :raises StoreError: the database cannot be started, reached or migrated.
    """
    settings = load(turn_keys=KEYS) if settings is None else settings
    turn = turn_settings(settings)
    watching: tuple[Watcher, ...] = (*default_watchers(), log_turn, Tracing()) if watchers is None else tuple(watchers)
    async with contextlib.AsyncExitStack() as stack:
        # In a thread, while the database starts; a future, not a task.
        loading = asyncio.get_running_loop().run_in_executor(None, _embedder, settings)
        store = await stack.enter_async_context(
            open_store(url=settings.database_url, data_dir=settings.home / "database", pool_size=settings.pool_size)
        )
        embedder, notes = await loading
        vectors = SentenceVectors(embedder) if embedder is not None else None
        knowledge = Knowledge(store, sentence_vectors=settings.sentence_vectors)
        turns, experts = Turns(store), Experts(store)
        asked = _asked(embedder, settings.embedding_cache)
        library = Library(knowledge, asked, sentences=vectors)
        retriever: Retriever = library
        if settings.retrieval_cache:
            retriever = CachedRetriever(library, _cache("retrieval", settings.retrieval_cache))
        # Profiles and tools rarely change: their vectors outlive the process.
        lasting = KeptVectors(asked, settings.home / "vectors") if asked is not None else None
        shipped = _tools(settings, retriever, stack)
        toolbox = Toolbox((*shipped, *tools), embedder=lasting, model=settings.suggests_by_model)
        own_tools = tuple(each.name for each in toolbox if each not in shipped)
        tool_suggester = _suggester(settings, toolbox, stack)
        meaning = TurnVectors(store, embedder, questions=asked) if embedder is not None else None
        conversations, approvals = Conversations(store, vectors=meaning), StoredApprovals(store)
        foresight = None
        if settings.foresight:
            foresight = Recollection(entries=settings.foresight, window=conversations.window, renewed=toolbox.renewed)

        async def own_experts(tenant: str) -> tuple[Expert, ...]:
            return await experts.list(Scope(tenant, settings.user))

        # What a deployment adds is for every expert that ships; an expert of its own says which tools it may use.
        experts_shipped = [
            replace(each, tools=(*each.tools, *own_tools)) if each.tools else each for each in shipped_experts()
        ]
        router = ExpertRouter(experts_shipped, embedder=lasting, more=own_experts)
        llm = open_llm(
            settings.model,
            base_url=settings.model_url,
            api_key=settings.model_key,
            embedder=asked,
            vectors=vectors,
            floor=settings.fallback == "extractive",
            prefill=settings.model_prefill,
        )
        replica = None
        if settings.model_replica_url:
            replica = open_llm(settings.model, base_url=settings.model_replica_url, api_key=settings.model_key)
        if settings.answer_cache:
            count = partial(track_cache, "answer")
            llm = CachedLLM(llm, entries=settings.answer_cache, start=run_in_background, count=count)
        for model in (llm, replica):
            if (close := getattr(model, "aclose", None)) is not None:
                stack.push_async_callback(close)
        matcher = Matcher(embedder, vectors)
        services = Services(
            router=router,
            retriever=retriever,
            tool_suggester=tool_suggester,
            memory=conversations,
            caller=toolbox,
            llm=llm,
            checker=QuoteChecker(matcher, lambda document, scope: library.document_text(document, scope=scope)),
            judge=LogisticJudge(matcher),
            accountant=Prices(settings.prices, base_urls=_provider(settings)),
            grader=quality,
            register=turns,
            keeper=_keeper(turns, meaning, foresight),
            approvals=approvals,
            argument_validator=ToolArgumentValidator(toolbox),
            floor=StoredConversationLock(store),
            summarizer=Summaries(store, conversations),
            foresight=foresight,
            replicas=Replicas(llm=replica),
        )
        app = App(
            settings, store, knowledge, library, embedder, toolbox, router, llm, turns, conversations, experts,
            approvals, services, notes,
        )  # fmt: skip
        app._workflows = {n: make(services, config=_plain(turn), watchers=watching) for n, make in MODES.items()}
        for workflow in app._workflows.values():
            workflow.scope = app.scope()
        app._file_changed = settings.changed()
        try:
            yield app
        finally:
            await shutdown(within=DRAIN_SECONDS)


def _embedder(settings: Settings) -> tuple[Embedder | None, tuple[str, ...]]:
    """The embedder, or None and why. Without one the engine works, by words alone, and says so."""
    if settings.embedder == "none":
        return None, ("no embedder (embedder = none): documents are searched by words only",)
    try:
        return MiniLM(find_weights(settings.embedder), cache=settings.home / "models"), ()
    except (SetupError, ServiceError) as error:
        if settings.embedder:  # it was asked for by name: not to have it is an error
            raise
        return None, (f"no embedder ({error}): documents are searched by words only",)


def _asked(embedder: Embedder | None, entries: int) -> Embedder | None:
    """*embedder* for questions, which the roster, the search, the tools and the model each ask for the vector of."""
    if embedder is None or not entries:
        return embedder
    return CachedEmbedder(embedder, entries=entries, count=partial(track_cache, "embedding"))


def _tools(settings: Settings, retriever: Retriever, stack: contextlib.AsyncExitStack) -> tuple[AnyTool, ...]:
    """The tools that ship; those that ask the world outside only where the settings name it."""
    pubmed = openfda = None
    if "pubmed" in settings.web_tools:
        pubmed = PubMed(api_key=settings.pubmed_key, email=settings.pubmed_email)
        stack.push_async_callback(pubmed.aclose)
    if "openfda" in settings.web_tools:
        openfda = OpenFDA(api_key=settings.openfda_key)
        stack.push_async_callback(openfda.aclose)
    return standard_tools(retriever=retriever, pubmed=pubmed, openfda=openfda)


def _suggester(settings: Settings, toolbox: Toolbox, stack: contextlib.AsyncExitStack) -> ToolSuggester:
    """Who suggests tool calls: rules, or a model with the rules to fall back on."""
    size = settings.suggestion_cache
    matcher: ToolSuggester = CachedToolSuggester(toolbox, _cache("suggestions", size)) if size else toolbox
    if not settings.suggests_by_model:
        return matcher
    from .services.llm.openai_compatible import OpenAICompatible

    own = settings.suggest_url is not None  # a key travels only to the server that it was given for
    name, url = settings.suggest_model or settings.model, settings.suggest_url or settings.model_url
    assert name and url  # or the settings would have been refused
    model = OpenAICompatible(name, base_url=url, api_key=settings.suggest_key if own else settings.model_key)
    stack.push_async_callback(model.aclose)
    cached = (lambda asked: CachedToolSuggester(asked, _cache("suggestions", size))) if size else None
    return ModelSuggester(model, toolbox, matcher=matcher, cached=cached, count=track_tool_suggestion)


def _keeper(turns: Keeper, vectors: TurnVectors | None, foresight: Recollection | None) -> Keeper:
    """*turns*, with those beside it who learn from what was kept."""
    keeper = turns if vectors is None else vectors.beside(turns, partial(run_in_background, name="embed turns"))
    return keeper if foresight is None else foresight.beside(keeper)


def _cache(name: str, entries: int) -> Cache[Any, Any]:
    return Cache(name, entries=entries, start=run_in_background, count=partial(track_cache, name))


def _plain(turn: TurnSettings) -> dict[str, Any]:
    return {key: getattr(turn, key) for key in KEYS}


def _provider(settings: Settings) -> dict[str, str]:
    """The model's provider goes by the host that it is reached at; the price list knows some by their address."""
    urls = (url for url in (settings.model_url, settings.model_replica_url, settings.suggest_url) if url)
    return {host: url for url in urls if (host := urlsplit(url).hostname)}

"""The front door: opens the services that the settings ask for, and answers with them. The only module that connects
services to ports.

::

    async with Engine() as engine:
        answer = await engine.ask("When must a serious adverse event be reported?")
        print(answer)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Literal, TypeAlias, TypeVar, Unpack
from urllib.parse import urlsplit

from anyio.from_thread import BlockingPortal, start_blocking_portal

from .errors import ConfigError, ServiceError, SetupError, VitalError
from .flow import run_in_background, shutdown
from .modes import (
    Decisions,
    Event,
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
    ParallelBaseWorkflow,
    TurnOptions,
    TurnSettings,
)
from .modes.settings import KEYS, validate_keys
from .monitoring import Tracing, Watcher, default_watchers, log_turn, track_cache, track_tool_suggestion
from .nouns import Answer, Expert, Limits, Question, Scope
from .ports import LLM, Embedder, Replicas, Retriever, Services, ToolSuggester
from .services.caching import Cache, CachedEmbedder, CachedRetriever, CachedToolSuggester, KeptVectors
from .services.citations import QuoteChecker
from .services.cost import Prices
from .services.experts import ExpertRouter, shipped_experts
from .services.llm.factory import open_llm
from .services.llm.remembered import CachedLLM
from .services.quality import quality
from .services.retrieval.embedder import MiniLM
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
T = TypeVar("T")
log = logging.getLogger("vital_engine.engine")

SHUTDOWN_SECONDS = 10.0
"""For turns that still run when the engine is closed."""
ModeNumber: TypeAlias = Literal[1, 2, 3, 4]
NO_LIMITS: Final = Limits()


class Engine:
    """An engine with its services: embedded database and models, unless the settings name others.

    Use it as ``async with Engine() as engine`` and await :meth:`ask`; or as ``with Engine() as engine`` and call
    :meth:`ask_sync`, also in a notebook or where another event loop runs: the engine then has a thread of its own.

    ``notes`` says what the engine does without since its start, for example: no embedder, so search by words only.

    :param settings: of the deployment; None: ``vital.toml`` and the environment.
    :param tools: tools of your own beside those that ship: plain typed functions, or made by :func:`vital_engine.tool`; see
        docs/tools.md. Every expert that ships may use them.
    :param watchers: each makes an observer of one turn; None: the metrics, logs and traces of this process.
    :raises ConfigError: a setting or a tool is impossible.
    :raises StoreError: on entering: the database cannot be started, reached or migrated.
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
    notes: tuple[str, ...]

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        tools: Sequence[AnyTool | Callable[..., Any]] = (),
        watchers: Iterable[Watcher] | None = None,
    ) -> None:
        self.settings = load(turn_keys=KEYS) if settings is None else settings
        self._turn = turn_settings(self.settings)
        self._own_tools = tuple(tools)
        self._watchers: tuple[Watcher, ...] = (
            (*default_watchers(), log_turn, Tracing()) if watchers is None else tuple(watchers)
        )
        self._workflows: dict[int, ParallelBaseWorkflow] = {}
        self._file_changed = self.settings.changed()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._warming: asyncio.Task[None] | None = None
        self._portal: BlockingPortal | None = None
        self._stack = contextlib.AsyncExitStack()
        self._thread = contextlib.ExitStack()

    # -- open and close
    async def __aenter__(self) -> Engine:
        if self._loop is not None:
            raise ConfigError("this engine is open already")
        async with contextlib.AsyncExitStack() as stack:
            self._stack = stack
            await self._open()
            self._stack = stack.pop_all()
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._loop = None
        await self._stack.aclose()

    def __enter__(self) -> Engine:
        with contextlib.ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal("asyncio", name="vital-engine"))
            stack.enter_context(self._portal.wrap_async_context_manager(self))
            self._thread = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._portal = None
        self._thread.close()

    # -- ask
    async def ask(
        self,
        question: str | Question,
        *,
        mode: ModeNumber = 2,
        expert: str | None = None,
        limits: Limits = NO_LIMITS,
        tenant: str | None = None,
        user: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> Answer:
        """Answer *question*.

        :param question: its text, or a whole :class:`Question`, whose fields then count instead of the keywords below
            *mode*.
        :param mode: 2 answers directly; 1 pauses before tool calls (see :meth:`resume`); 3 and 4 are conversations, see
            :meth:`chat`.
        :param expert: id of the expert; None: the engine chooses, and gives its reason in ``answer.brief``.
        :param limits: what the turn may use: seconds, output tokens, USD, passages.
        :param tenant: whose documents are searched; default: the settings' tenant.
        :param user: who asks; default: the settings' user.
        :param options: settings of a turn, for this one alone.
        :returns: the answer, also of a turn that failed: see ``answer.status``.
        :raises InvalidQuestion: no text, too much of it, or an impossible limit.
        :raises ConfigError: an unknown setting or a wrong type, or the engine is not open.
        """
        await self._ready()
        asked = self._question(question, expert, limits, tenant, user)
        return await self.workflow(mode).execute(asked, **options)

    async def stream(
        self,
        question: str | Question,
        *,
        mode: ModeNumber = 2,
        expert: str | None = None,
        limits: Limits = NO_LIMITS,
        tenant: str | None = None,
        user: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> AsyncGenerator[Event, None]:
        """The events of a turn as they happen; the last one is a :class:`Finished` or a :class:`Broken`.

        :param question: see :meth:`ask`.
        :param mode: see :meth:`ask`.
        :param expert: see :meth:`ask`.
        :param limits: see :meth:`ask`.
        :param tenant: see :meth:`ask`.
        :param user: see :meth:`ask`.
        :param options: see :meth:`ask`.
        :raises InvalidQuestion: see :meth:`ask`.
        :raises ConfigError: see :meth:`ask`.
        """
        await self._ready()
        asked = self._question(question, expert, limits, tenant, user)
        async for event in self.workflow(mode).stream(asked, **options):
            yield event

    def chat(
        self,
        conversation: str | None = None,
        *,
        mode: Literal[3, 4] = 4,
        expert: str | None = None,
        tenant: str | None = None,
        user: str | None = None,
    ) -> Chat:
        """A conversation: each question is answered with what was said before.

        :param conversation: its id; None: a new one.
        :param mode: 4: a policy approves tool calls; 3: a person does.
        :param expert: id of the expert; None: the engine chooses for each question.
        :param tenant: default: the settings' tenant.
        :param user: default: the settings' user.
        """
        return Chat(self, conversation or uuid.uuid4().hex, mode, expert, tenant, user)

    async def resume(
        self,
        answer: Answer | str,
        decisions: Decisions,
        *,
        tenant: str | None = None,
        user: str | None = None,
        by: str = "",
    ) -> Answer:
        """Decide on the calls of a paused turn, and continue it once all are decided.

        :param answer: the paused answer, or its run id.
        :param decisions: id of a call -> ``"approve"``, ``"reject"``, ``("edit", arguments)``; see :data:`Decisions`.
        :param tenant: of the turn, if *answer* is a run id; default: the settings' tenant.
        :param user: of the turn, if *answer* is a run id; default: the settings' user.
        :param by: the person who decides; default: the user.
        :returns: the answer; ``paused`` while calls wait for a decision.
        :raises NotFound: there is no such paused turn, or no such call in it.
        :raises Conflict: a call was decided differently before.
        :raises Expired: the time to decide has passed.
        """
        await self._ready()
        if isinstance(answer, Answer):
            run_id, scope = answer.run_id, Scope(answer.question.tenant, answer.question.user)
        else:
            run_id, scope = answer, self.scope(tenant, user)
        mode = (await self.approvals.look(run_id, scope)).paused.mode
        return await self.workflow(mode).resume(run_id, decisions, scope=scope, by=by)

    def ask_sync(
        self,
        question: str | Question,
        *,
        mode: ModeNumber = 2,
        expert: str | None = None,
        limits: Limits = NO_LIMITS,
        tenant: str | None = None,
        user: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> Answer:
        """As :meth:`ask`, for code that does not await: blocks the calling thread, not the engine.

        :param question: see :meth:`ask`.
        :param mode: see :meth:`ask`.
        :param expert: see :meth:`ask`.
        :param limits: see :meth:`ask`.
        :param tenant: see :meth:`ask`.
        :param user: see :meth:`ask`.
        :param options: see :meth:`ask`.
        :raises InvalidQuestion: see :meth:`ask`.
        :raises ConfigError: as :meth:`ask`, or it was called in the event loop that the engine runs in: await
            :meth:`ask` there.
        """
        ask = partial(self.ask, question, mode=mode, expert=expert, limits=limits, tenant=tenant, user=user, **options)
        return self.run_sync(ask)

    def run_sync(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run *work* in the engine's event loop, and wait for it; see :meth:`ask_sync`.

        :param work: makes the coroutine.
        :returns: its result.
        :raises ConfigError: see :meth:`ask_sync`.
        """
        if self._portal is not None:
            result: T = self._portal.call(work)
            return result
        if self._loop is None:
            raise ConfigError("the engine is not open: use 'with Engine() as engine'")
        with contextlib.suppress(RuntimeError):
            if asyncio.get_running_loop() is self._loop:
                raise ConfigError("await engine.ask() here: this is the event loop that the engine runs in")
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result()

    # -- what else there is
    def workflow(self, mode: int) -> ParallelBaseWorkflow:
        """The workflow of a mode, with the present settings: a changed ``vital.toml`` counts from this call on.

        :param mode: 1 to 4.
        :raises ConfigError: there is no such mode, or the engine is not open.
        """
        if not self._workflows:
            raise ConfigError("the engine is not open: use 'async with Engine() as engine'")
        self._reread()
        try:
            return self._workflows[mode]
        except KeyError:
            raise ConfigError(f"there is no mode {mode!r}; there are {', '.join(map(str, self._workflows))}") from None

    async def warm(self) -> None:
        """Load what the first turn would otherwise wait for: vectors of experts and tools, and a model in this process.

        An error here is ignored; it comes again in the turn that needs the service, and is shown there.
        """
        question = Question("warm up", self.settings.tenant, self.settings.user)
        with contextlib.suppress(VitalError):
            brief = await self.router.route(question, mode=2)
            await self.toolbox.suggest(question, brief)
            await self.library.search(question.text, k=1, scope=self.scope())
            if (warm := getattr(self.llm, "warm", None)) is not None:
                await warm()

    def scope(self, tenant: str | None = None, user: str | None = None, domains: tuple[str, ...] = ()) -> Scope:
        """The scope of a tenant and a user.

        :param tenant: default: the settings' tenant.
        :param user: default: the settings' user.
        :param domains: domains of documents; empty: all.
        """
        return Scope(tenant or self.settings.tenant, user or self.settings.user, domains)

    def _question(
        self, question: str | Question, expert: str | None, limits: Limits, tenant: str | None, user: str | None,
        conversation: str | None = None,
    ) -> Question:  # fmt: skip
        if isinstance(question, Question):
            return question
        who = self.scope(tenant, user)
        return Question(question, who.tenant, who.user, conversation, expert or self.settings.expert, limits)

    async def _ready(self) -> None:
        """The cold start is not paid out of the limits of the first turn."""
        if self._loop is None:
            raise ConfigError("the engine is not open: use 'async with Engine() as engine'")
        if self._warming is None:
            self._warming = run_in_background(self.warm(), name="warm up")
        if not self._warming.done():
            await asyncio.shield(self._warming)

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

    async def _open(self) -> None:
        """Everything that an engine needs, opened in the right order and closed in the reverse one."""
        settings = self.settings
        # In a thread, while the database starts; a future, not a task.
        loading = asyncio.get_running_loop().run_in_executor(None, _embedder, settings)
        store = await self._stack.enter_async_context(
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
        shipped = _tools(settings, retriever, self._stack)
        toolbox = Toolbox((*shipped, *self._own_tools), embedder=lasting, model=settings.suggests_by_model)
        own_tools = tuple(each.name for each in toolbox if each not in shipped)
        tool_suggester = _suggester(settings, toolbox, self._stack)
        meaning = TurnVectors(store, embedder, questions=asked) if embedder is not None else None
        conversations, approvals = Conversations(store, vectors=meaning), StoredApprovals(store)

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
                self._stack.push_async_callback(close)
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
            turns=turns
            if meaning is None
            else meaning.embedding(turns, partial(run_in_background, name="embed turns")),
            approvals=approvals,
            argument_validator=ToolArgumentValidator(toolbox),
            conversation_lock=StoredConversationLock(store),
            summarizer=Summaries(store, conversations),
            replicas=Replicas(llm=replica),
        )
        self.store, self.knowledge, self.library, self.embedder = store, knowledge, library, embedder
        self.toolbox, self.router, self.llm, self.services = toolbox, router, llm, services
        self.turns, self.conversations, self.experts, self.approvals = turns, conversations, experts, approvals
        self.notes = notes
        self._workflows = {
            n: make(services, config=_plain(self._turn), watchers=self._watchers) for n, make in MODES.items()
        }
        for workflow in self._workflows.values():
            workflow.scope = self.scope()
        self._stack.push_async_callback(shutdown, within=SHUTDOWN_SECONDS)


class Chat:
    """A conversation of an :class:`Engine`. ``conversation`` is its id, with which you can continue it later."""

    def __init__(
        self,
        engine: Engine,
        conversation: str,
        mode: Literal[3, 4],
        expert: str | None,
        tenant: str | None,
        user: str | None,
    ) -> None:
        self.conversation = conversation
        self._engine, self._mode, self._expert, self._tenant, self._user = engine, mode, expert, tenant, user

    async def ask(self, text: str, *, limits: Limits = NO_LIMITS, **options: Unpack[TurnOptions]) -> Answer:
        """Answer *text* with what was said before in this conversation. See :meth:`Engine.ask`.

        :param text: the message.
        :param limits: what the turn may use.
        :param options: settings of a turn, for this one alone.
        :returns: the answer.
        :raises ConversationBusy: another turn of the conversation has not ended.
        """
        return await self._engine.ask(self._question(text, limits), mode=self._mode, **options)

    async def stream(
        self, text: str, *, limits: Limits = NO_LIMITS, **options: Unpack[TurnOptions]
    ) -> AsyncGenerator[Event, None]:
        """The events of a turn of this conversation as they happen. See :meth:`Engine.stream`.

        :param text: the message.
        :param limits: what the turn may use.
        :param options: settings of a turn, for this one alone.
        """
        async for event in self._engine.stream(self._question(text, limits), mode=self._mode, **options):
            yield event

    def ask_sync(self, text: str, *, limits: Limits = NO_LIMITS, **options: Unpack[TurnOptions]) -> Answer:
        """As :meth:`ask`, for code that does not await.

        :param text: the message.
        :param limits: what the turn may use.
        :param options: settings of a turn, for this one alone.
        """
        return self._engine.run_sync(partial(self.ask, text, limits=limits, **options))

    def _question(self, text: str, limits: Limits) -> Question:
        return self._engine._question(text, self._expert, limits, self._tenant, self._user, self.conversation)


def turn_settings(settings: Settings) -> TurnSettings:
    """The settings of a turn that a deployment asks for.

    :param settings: of the deployment.
    :raises ConfigError: a setting is unknown, or of a wrong type.
    """
    return TurnSettings(**validate_keys({key: typed(key, value) for key, value in settings.turn.items()}))


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


def _cache(name: str, entries: int) -> Cache[Any, Any]:
    return Cache(name, entries=entries, start=run_in_background, count=partial(track_cache, name))


def _plain(turn: TurnSettings) -> dict[str, object]:
    return {key: getattr(turn, key) for key in KEYS}


def _provider(settings: Settings) -> dict[str, str]:
    """The model's provider goes by the host that it is reached at; the price list knows some by their address."""
    urls = (url for url in (settings.model_url, settings.model_replica_url, settings.suggest_url) if url)
    return {host: url for url in urls if (host := urlsplit(url).hostname)}

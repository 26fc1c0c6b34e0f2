"""``vital``: the engine at the command line; :func:`main` is the door.

``ask`` (one question, and approvals), ``chat``, ``ingest``, ``show`` (settings, doctor, lists) and ``bench`` (a
distribution of its own, ``vital-engine-bench``) are commands, each imported when it is called, so that ``vital --help`` is
quick. ``terminal`` is what they share, ``render``, ``screen`` and ``timeline`` what an answer looks like, ``visible`` how text of others is shown. May import everything.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vital_engine import __version__
from vital_engine.errors import ConfigError, InvalidQuestion, VitalError
from vital_engine.modes.settings import KEYS
from vital_engine.nouns import Limits
from vital_engine.settings import Settings, load

from .terminal import FAILED, OK, code_of_error, prepare_terminal

cli = typer.Typer(
    name="vital",
    help="Ask an expert, get a cited answer, in the time of its model call.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
experts_cli = typer.Typer(help="Experts: list them, add your own.", no_args_is_help=True)
runs_cli = typer.Typer(help="Stored turns.", no_args_is_help=True)
approvals_cli = typer.Typer(help="Tool calls that wait for a person.", no_args_is_help=True)
config_cli = typer.Typer(help="Show and check the settings.", no_args_is_help=True)
cli.add_typer(experts_cli, name="experts")
cli.add_typer(runs_cli, name="runs")
cli.add_typer(approvals_cli, name="approvals")
cli.add_typer(config_cli, name="config")

# -- options that several commands share
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    str | None, typer.Option(help="The model: a name on --model-url, a .gguf file, smollm2 or extractive.")
]
ModelUrl = Annotated[str | None, typer.Option(help="Base URL of an OpenAI-compatible server.")]
Tenant = Annotated[str | None, typer.Option(help="The tenant whose documents are used; default: the settings'.")]
Mode = Annotated[
    int, typer.Option(help="1: you approve tools; 2: the policy does; 3 and 4: the same in a conversation.")
]
Profile = Annotated[str | None, typer.Option(help="dataflow, tiers or sequential.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A setting of the turn, as name=value. Repeatable.")]
Limit = Annotated[
    list[str] | None,
    typer.Option("--limit", help="What the turn may use, as name=value: seconds, output_tokens, cost_usd, passages."),
]


_LIMITS: Final[Mapping[str, Callable[[str], Any]]] = {
    "seconds": float,
    "output_tokens": int,
    "cost_usd": Decimal,
    "passages": int,
}


# -- the commands
@cli.command()
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    expert: Annotated[
        str | None, typer.Option(help="Id of the expert who answers; default: the engine chooses.")
    ] = None,
    mode: Mode = 2,
    profile: Profile = None,
    setting: Set = None,
    limit: Limit = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Show when each step ran.")] = False,
    sources: Annotated[bool, typer.Option("--sources", help="Show all that was retrieved.")] = False,
    model: Model = None,
    model_url: ModelUrl = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Ask a question; the answer streams, then its citations, warnings, cost and times."""
    from .ask import ask as work

    changes = _changes(setting)
    if profile is not None:
        changes["profile"] = profile
    settings = _settings(model=model, model_url=model_url, tenant=tenant)
    _run(
        work(
            question,
            settings,
            mode=mode,
            expert=expert,
            changes=changes,
            limits=limits_of(limit or ()),
            as_json=as_json,
            timeline=timeline,
            sources=sources,
        )
    )


@cli.command()
def chat(
    mode: Annotated[int, typer.Option(help="3: you approve tools; 4: the policy does.")] = 3,
    expert: Annotated[
        str | None, typer.Option(help="Id of the expert who answers; default: the engine chooses.")
    ] = None,
    conversation: Annotated[
        str | None, typer.Option(help="Id of the conversation to continue; default: a new one.")
    ] = None,
    model: Model = None,
    model_url: ModelUrl = None,
    tenant: Tenant = None,
) -> None:
    """Talk in the terminal: answers stream, and one key decides a tool call. /help lists the commands."""
    from .chat import chat as work

    settings = _settings(model=model, model_url=model_url, tenant=tenant)
    raise typer.Exit(work(settings, mode=mode, expert=expert, conversation=conversation))


@cli.command()
def ingest(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files, or folders of files.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="The 120 abstracts that ship with the engine.")] = False,
    domain: Annotated[str, typer.Option(help="Domain of the documents.")] = "",
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the domain's documents that are not among them.")
    ] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Ingest documents: text, Markdown, HTML, PDF, DOCX, JSON corpora. A second run ingests only new or changed files."""
    from .ingest import SAMPLE, ingest_files

    chosen = [*(paths or []), *([Path(str(SAMPLE))] if sample else [])]
    if not chosen:
        raise typer.BadParameter("name a file or a folder, or say --sample")
    _run(ingest_files(chosen, _settings(tenant=tenant), domain=domain, prune=prune, as_json=as_json))


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one.")] = None,
    model: Model = None,
    model_url: ModelUrl = None,
) -> None:
    """Serve the engine over HTTP."""
    from vital_engine.api.serve import serve as work

    raise typer.Exit(work(_settings(host=host, port=port, model=model, model_url=model_url)))


@cli.command()
def doctor(as_json: AsJson = False) -> None:
    """Test each part by using it, and print what is missing."""
    from .show import examine, show_findings

    async def work() -> int:
        return show_findings(await examine(_settings()), as_json=as_json)

    _run(work())


Workloads = Annotated[
    list[str] | None,
    typer.Option(
        "--workload",
        help="W1, W1b, W2, W3, W6, W7, real-clock, cost, or one of a family ('W2 no stalls'). Repeatable; default: a quick look, or with --report all.",
    ),
]
Turns = Annotated[
    int | None, typer.Option(min=1, help="Turns of each (with --report: at most); default: as many as it needs.")
]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal figures, to the digit.")]
Rows = Annotated[Path | None, typer.Option(help="Write every turn to this CSV file.")]
ReportFolder = Annotated[
    Path | None, typer.Option("--report", help="Write one page with pictures into this folder, on all cores.")
]
PeersFile = Annotated[
    Path | None, typer.Option(help="For the report: what `python -m vital_bench.peers --json` wrote.")
]
RealFile = Annotated[Path | None, typer.Option(help="For the report: what `bench/real_stack.py --json` wrote.")]


@cli.command()
def bench(
    workload: Workloads = None,
    turns: Turns = None,
    seed: Seed = 1,
    rows: Rows = None,
    report: ReportFolder = None,
    peers: PeersFile = None,
    real: RealFile = None,
    as_json: AsJson = False,
) -> None:
    """Measure: in virtual time against the arithmetic bound of each turn, and the engine's own CPU per turn."""
    if importlib.util.find_spec("vital_bench") is None:
        raise ConfigError(
            "the benchmark is not installed: pip install 'vital-engine[bench]' (in a clone: pip install -e bench)"
        )
    from vital_bench.command import run_report, run_workloads

    if report is not None:
        run_report(report, workload, turns=turns, seed=seed, rows=rows, peers=peers, real=real)
    else:
        run_workloads(workload, turns=turns, seed=seed, rows=rows, as_json=as_json)
    raise typer.Exit(OK)


@cli.command()
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    print(json.dumps({"version": __version__}) if as_json else __version__)


@experts_cli.command("list")
def experts_list(
    tenant: Tenant = None,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print YAML, as add reads it.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the experts."""
    from .show import show_experts

    _run(show_experts(_settings(tenant=tenant), as_json=as_json, as_yaml=as_yaml))


@experts_cli.command("add")
def experts_add(
    path: Annotated[Path, typer.Argument(help="A YAML file, or a folder of them.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace experts of the same id.")] = False,
    tenant: Tenant = None,
) -> None:
    """Store experts of your own, for this tenant."""
    from .show import add_experts

    _run(add_experts(path, _settings(tenant=tenant), replace=replace))


@runs_cli.command("list")
def runs_list(
    limit: Annotated[int, typer.Option(help="Number of turns, newest first.")] = 20,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List the newest turns."""
    from .show import show_runs

    _run(show_runs(_settings(tenant=tenant), limit=limit, as_json=as_json))


@runs_cli.command("show")
def runs_show(run_id: str, tenant: Tenant = None) -> None:
    """Print a turn's receipt, as JSON."""
    from .show import show_run

    _run(show_run(run_id, _settings(tenant=tenant)))


@approvals_cli.command("list")
def approvals_list(
    limit: Annotated[int, typer.Option(help="Largest number of turns, oldest first.")] = 50,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List the calls that wait for a decision, with their exact arguments."""
    from .ask import show_approvals

    _run(show_approvals(_settings(tenant=tenant), limit=limit, as_json=as_json))


@approvals_cli.command("approve")
def approvals_approve(
    approval: Annotated[str, typer.Argument(help="The call's id.")],
    arguments: Annotated[str | None, typer.Option(help="Changed arguments, as a JSON object.")] = None,
    reason: Annotated[str, typer.Option(help="The reason; it is stored.")] = "",
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Approve a call. It is made once; if its turn waits for no other decision, the turn continues."""
    from vital_engine.nouns import ApprovalDecision
    from vital_engine.text.visible import json_object

    from .ask import decide

    edit = None if arguments is None else json_object(arguments)
    decision = ApprovalDecision("approve" if edit is None else "edit", reason, edit)
    _run(decide(approval, decision, _settings(tenant=tenant), as_json=as_json))


@approvals_cli.command("reject")
def approvals_reject(
    approval: Annotated[str, typer.Argument(help="The call's id.")],
    reason: Annotated[str, typer.Option(help="The reason; it is stored.")] = "",
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Reject a call. If its turn waits for no other decision, the turn continues without the call."""
    from vital_engine.nouns import ApprovalDecision

    from .ask import decide

    _run(decide(approval, ApprovalDecision("reject", reason), _settings(tenant=tenant), as_json=as_json))


@config_cli.command("show")
def config_show(as_json: AsJson = False) -> None:
    """Print every setting, its value and its meaning. Secrets are hidden."""
    from .show import show_settings

    raise typer.Exit(show_settings(_settings(), as_json=as_json))


@config_cli.command("check")
def config_check() -> None:
    """Check the settings."""
    from .show import check_settings

    raise typer.Exit(check_settings(_settings()))


def _settings(**changes: Any) -> Settings:
    return load(turn_keys=KEYS).replace(changes)


def _changes(settings: list[str] | None) -> dict[str, Any]:
    from vital_engine.settings import typed

    changes = {}
    for text in settings or []:
        name, sign, value = text.partition("=")
        if not sign:
            raise typer.BadParameter(f"--set wants name=value, not {text!r}")
        changes[name.strip()] = typed(name.strip(), value.strip())
    return changes


def limits_of(typed: Iterable[str]) -> Limits:
    """``["cost_usd=0.01", "passages=4"]`` as limits.

    :raises InvalidQuestion: there is no such limit, or it is not of its type or its range.
    """
    given = {}
    for text in typed:
        name, _, value = (part.strip() for part in text.partition("="))
        if name not in _LIMITS:
            raise InvalidQuestion(f"--limit wants name=value, one of {', '.join(_LIMITS)}, not {text!r}")
        try:
            given[name] = _LIMITS[name](value)
        except (ValueError, InvalidOperation):
            raise InvalidQuestion(f"--limit {name} must be a number, not {value!r}") from None
    return Limits(**given)


def _run(work: Coroutine[Any, Any, int]) -> None:
    raise typer.Exit(asyncio.run(work))


def main() -> None:
    """The entry point. An error of ours is one line on standard error and an exit code; see ``terminal``."""
    prepare_terminal()
    try:
        cli()
    except VitalError as error:
        print(f"vital: {error}", file=sys.stderr)
        sys.exit(code_of_error(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(FAILED)
    except SystemExit as end:
        # 1 is typer's own: the reader of a pipe has gone, or a prompt was not answered.
        sys.exit(FAILED if end.code == 1 else end.code)

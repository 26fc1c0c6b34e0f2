"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    str | None, typer.Option(help="Who answers: a model on --model-url, a .gguf file, smollm2, extractive.")
]
ModelUrl = Annotated[str | None, typer.Option(help="Base URL of an OpenAI-compatible server.")]
Tenant = Annotated[str | None, typer.Option(help="Whose documents.")]
Mode = Annotated[
    int, typer.Option(help="1: you approve tools; 2: the policy does; 3 and 4: the same in a conversation.")
]
Profile = Annotated[str | None, typer.Option(help="dataflow, tiers or sequential.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A setting of the turn, as name=value. Repeatable.")]

"""pydantic-graph's GraphBuilder: a step is a node, and a join collects what several have made."""

from __future__ import annotations

from typing import Any

from pydantic_graph import GraphBuilder, StepContext
from pydantic_graph.join import reduce_dict_update

from .shapes import SHAPES, Turn, Values, body


def pydantic_graph(shape: str) -> Turn:
    builder, step = _begun(shape)
    inputs = [step[one] for one in ("retrieve", "suggest", "recall")]
    if shape == "ten":
        builder.add(
            builder.edge_from(builder.start_node).to(step["brief"]),
            builder.edge_from(step["brief"]).to(*inputs),
            builder.edge_from(*inputs).to(step["gathered"]),
            builder.edge_from(step["gathered"]).to(step["consent"]),
            builder.edge_from(step["consent"]).to(step["invoke"]),
            builder.edge_from(step["invoke"]).to(step["reply"]),
        )
    elif shape == "uneven":
        builder.add(
            builder.edge_from(builder.start_node).to(step["retrieve"], step["recall"]),
            builder.edge_from(step["recall"]).to(step["suggest"]),
            builder.edge_from(step["retrieve"], step["suggest"]).to(step["gathered"]),
            builder.edge_from(step["gathered"]).to(step["reply"]),
        )
    else:
        builder.add(
            builder.edge_from(builder.start_node).to(*inputs),
            builder.edge_from(*inputs).to(step["gathered"]),
            builder.edge_from(step["gathered"]).to(step["reply"]),
        )
    builder.add(
        builder.edge_from(step["reply"]).to(step["cite"], step["assess"], step["tally"]),
        builder.edge_from(step["cite"], step["assess"], step["tally"]).to(step["reviewed"]),
        builder.edge_from(step["reviewed"]).to(builder.end_node),
    )
    graph = builder.build()

    async def turn() -> Values:
        made: Values = await graph.run(inputs={})
        return made

    return turn


def _begun(shape: str) -> tuple[GraphBuilder[Any, Any, Any, Any], dict[str, Any]]:
    """A step hands on what it was given and what it made."""
    work, needs = body(shape), SHAPES[shape]
    builder: GraphBuilder[Any, Any, Any, Any] = GraphBuilder(input_type=dict, output_type=dict)

    def node(name: str, of: tuple[str, ...]) -> Any:
        async def run(ctx: StepContext[Any, Any, Any]) -> Any:
            return {**ctx.inputs, name: await work(name, *(ctx.inputs[one] for one in of))}

        return builder.step(run, node_id=name)

    nodes = {name: node(name, of) for name, of in needs.items()}
    joins = {
        name: builder.join(reduce_dict_update, initial_factory=dict, node_id=name) for name in ("gathered", "reviewed")
    }
    return builder, {**nodes, **joins}

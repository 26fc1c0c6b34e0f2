from __future__ import annotations

from pathlib import Path

import pytest

from vital_engine.errors import ConfigError
from vital_engine.nouns import Expert
from vital_engine.services.experts import dump_experts, load_experts, read_experts, shipped_experts
from vital_engine.services.tools import OpenFDA, PubMed, standard_tools

ONE = """
id: oncology
name: Oncology
description: Tumours and their treatment.
instructions: You are an oncologist.
modes: [2, 4]
domains: [cancer]
temperature: 0.2
"""


def test_the_eight_experts_of_the_life_sciences_and_a_generalist() -> None:
    assert [e.id for e in shipped_experts()] == [
        "research",
        "regulatory-affairs",
        "clinical-development",
        "pharmacovigilance",
        "medical-devices",
        "quality",
        "market-access",
        "medical-information",
        "biostatistics",
    ]


@pytest.mark.parametrize("expert", shipped_experts(), ids=lambda e: e.id)
def test_a_shipped_expert_cites_says_what_is_missing_and_has_tools_that_exist(expert: Expert) -> None:
    class Shelf:
        async def search(self, query: str, *, k: int, scope: object) -> tuple[()]:
            return ()

    names = {tool.name for tool in standard_tools(retriever=Shelf(), pubmed=PubMed(), openfda=OpenFDA())}
    assert set(expert.tools) <= names
    assert "search_knowledge" in expert.tools
    for told in ("[1]", "say so plainly", "do not diagnose, prescribe"):
        assert told in expert.instructions
    assert len(expert.instructions) < 2_500  # it is paid for with every turn


def test_the_generalist_has_every_tool_that_only_computes_and_none_that_leaves_the_house() -> None:
    assert {*shipped_experts()[0].tools} == {tool.name for tool in standard_tools()} | {"search_knowledge"}


def test_one_expert_in_a_file_and_a_list_with_common_instructions() -> None:
    (one,) = read_experts(ONE)
    assert one == Expert(
        id="oncology",
        name="Oncology",
        description="Tumours and their treatment.",
        instructions="You are an oncologist.",
        temperature=0.2,
        domains=("cancer",),
        modes=(2, 4),
    )
    listed = "instructions: Cite.\nexperts:\n" + "".join(
        f"  - {{id: e{n}, name: E, description: d, instructions: i}}\n" for n in (1, 2)
    )
    assert [(e.id, e.instructions) for e in read_experts(listed)] == [("e1", "i\n\nCite."), ("e2", "i\n\nCite.")]


def test_what_is_dumped_is_read_back_the_same() -> None:
    assert read_experts(dump_experts(shipped_experts())) == shipped_experts()
    odd = Expert("a-1", "Ä: ‘quoted’ #1", "- not a list\n\nyes: no", "%\ttab\n  indented", model="m", modes=(1,))
    assert read_experts(dump_experts([odd])) == (odd,)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected an expert"),
        ("- a\n- b", "expected an expert"),
        ("id: [", "not YAML"),
        ("!!python/object/apply:os.system ['ls']", "not YAML"),
        ("experts: []", "experts: List should have at least 1 item"),
        (ONE.replace("modes: [2, 4]", "modes: [5]"), r"expert oncology: modes\.0: Input should be less than or equal to 4"),
        (ONE.replace("id: oncology", "id: Onco logy"), "expert Onco logy: id: String should match"),
        (ONE.replace("name: Oncology\n", ""), "expert oncology: name: Field required"),
        (ONE + "colour: red\n", "expert oncology: colour: Extra inputs are not permitted"),
        (ONE.replace("0.2", "hot"), "expert oncology: temperature: Input should be a valid number"),
        ("experts: [3]", "expert 0: it: Input should be a valid dictionary"),
        ("experts:\n" + 2 * "- {id: a, name: A, description: d, instructions: i}\n", "two experts with the id a"),
    ],
)  # fmt: skip
def test_faults_are_named_with_the_file_the_expert_and_the_field(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        read_experts(text, source="x.yaml")
    assert str(caught.value).startswith("x.yaml: ")


def test_a_file_a_folder_and_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ONE, "utf-8")
    (tmp_path / "b.yaml").write_text(ONE.replace("oncology", "cardiology"), "utf-8")
    assert [e.id for e in load_experts(tmp_path)] == ["oncology", "cardiology"]
    assert [e.id for e in load_experts(tmp_path / "a.yaml")] == ["oncology"]
    (tmp_path / "c.yaml").write_text(ONE, "utf-8")
    with pytest.raises(ConfigError, match="two experts with the id oncology"):
        load_experts(tmp_path)
    with pytest.raises(ConfigError, match=r"none\.yaml: it cannot be read"):
        load_experts(tmp_path / "none.yaml")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match=r"c\.yaml: it cannot be read"):
        load_experts(tmp_path)
    (tmp_path / "c.yaml").write_text("#" * 1_000_001)
    with pytest.raises(ConfigError, match=r"c\.yaml: larger than"):
        load_experts(tmp_path)

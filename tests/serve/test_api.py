"""The API: the same JSON as the command line and Python give."""

import html
import io
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stdout

import jsonschema
import pytest

pytest.importorskip("jinja2")

import tonnage
from tonnage.cli import main
from tonnage.pages import fragment, page, reply
from tonnage.pages.api import VERBS
from tonnage.pages.openapi import document
from tonnage.pages.routes import Reply
from tonnage.question import from_query, to_argv
from tonnage.render import json as form
from tonnage.render import numbers

QUESTIONS = (
    "m=llama-3.1-8b-instruct",
    "m=qwen3.5-122b-a10b&q=Q4_K_M&c=262144",
    "m=qwen3.5-122b-a10b&q=Q4_K_M&c=32K&d=RTX 4090&ram=128GB DDR5-6000 x2",
    "m=qwen3.6-27b&q=Q6_K&c=65536&d=RTX 4090",
    "m=gemma-3-27b-it&q=Q4_K_M&d=RTX 3090&d=RTX 3060 12GB",
    "m=gpt-oss-20b&d=Apple M4 Max 128GB&os=macos15",
    "m=qwen3-30b-a3b&ctk=q8_0&ctv=q8_0&np=4&no_mmap",
    "m=llama-3.2-3b-instruct&backend=cpu&ram=16GB",
    "m=granite-4.0-h-tiny&u=8&c=8192&n_cpu_moe=10",
    "m=params=7e9,layers=32,heads=32,kv_heads=8,head_dim=128,context=32768&q=Q4_K_M",
)


def _printed(*words: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        main(words)
    return out.getvalue().strip()


@pytest.mark.slow
@pytest.mark.parametrize("query", QUESTIONS)
def test_every_face_gives_the_same_json(query: str) -> None:
    """Command line, Python and HTTP; the page shows its parts and links to the same JSON."""
    question = from_query(query)
    over_http = reply("/api/v1/estimate", query)
    from_python = tonnage.estimate(question)

    assert 200 == over_http.status
    assert _printed("estimate", *to_argv(question), "--json") == over_http.body
    assert form.dumps(form.answer(from_python)) == over_http.body
    path, _, asked = html.unescape(re.search(r'rel="alternate" type="application/json" href="([^"]+)"', page("/", query))[1]).partition("?")
    assert json.loads(over_http.body)["devices"] == json.loads(reply(path, asked).body)["devices"]
    gpus = [device for device in from_python.devices if device.kind != "host"] or list(from_python.devices)
    assert all(html.escape(numbers.gib(part.bytes)) in fragment(query) for device in gpus for part in device.parts)


@pytest.mark.parametrize(
    ("verb", "query", "words"),
    [
        ("fit", "m=llama-3.1-8b-instruct&match=geforce", ["llama-3.1-8b-instruct", "--match", "geforce"]),
        ("plan", "m=qwen3-32b&q=Q4_K_M&d=24GB&ram=64GB", ["qwen3-32b", "-q", "Q4_K_M", "-d", "24GB", "--ram", "64GB"]),
        ("max-context", "m=qwen3-32b&q=Q4_K_M&d=24GB", ["qwen3-32b", "-q", "Q4_K_M", "-d", "24GB"]),
        ("best-quant", "m=qwen3-32b&c=32K&d=24GB", ["qwen3-32b", "-c", "32K", "-d", "24GB"]),
        ("speed", "m=qwen3-32b&q=Q4_K_M&d=RTX 5090", ["qwen3-32b", "-q", "Q4_K_M", "-d", "RTX 5090"]),
        ("ram", "kit=DDR5-6000 CL30&kit=DDR4-3200 CL16&reads=3GB", ["DDR5-6000 CL30", "DDR4-3200 CL16", "--reads", "3GB"]),
        ("power", "watts=450&country=DE&country=US&hours=5", ["--watts", "450", "--country", "DE", "--country", "US", "--hours", "5"]),
        ("transfer", "size=70GB&over=NVMe Gen4&over=300Mb/s", ["70GB", "--over", "NVMe Gen4", "--over", "300Mb/s"]),
        ("reads", "size=1GB", ["--size", "1GB"]),
    ],
)
def test_every_verb_answers_as_on_the_command_line(verb: str, query: str, words: list[str]) -> None:
    """The same line of JSON."""
    assert _printed(verb, *words, "--json") == reply(f"/api/v1/{verb}", query).body


@pytest.mark.parametrize(
    ("path", "query", "status", "kind"),
    [
        ("/api/v1/estimate", "", 400, "question"),
        ("/api/v1/estimate", "m=llama-3.1-8b&zzz=1", 400, "question"),
        ("/api/v1/estimate", "m=nothing-like-this", 404, "source"),
        ("/api/v1/estimate", "m=llama-3.1-8b&e=vll", 422, "unsupported"),
        ("/api/v1/best-quant", "m=llama-3.1-8b&e=vll&d=24GB", 422, "unsupported"),
        ("/api/v1/max-context", "m=qwen3-32b&d=2GB", 422, "no fit"),
        ("/api/v1/nothing", "", 400, "question"),
        ("/api/v1/power", "watts=1&m=x", 400, "question"),
    ],
)
def test_errors_have_the_form_of_the_interface(path: str, query: str, status: int, kind: str) -> None:
    """Kind, message and nearest names, with a status that fits."""
    found = reply(path, query)
    told = json.loads(found.body)

    assert (status, kind) == (found.status, told["error"]["kind"])
    assert {"kind", "message", "nearest"} == told["error"].keys()


def test_the_document_names_every_verb() -> None:
    """OpenAPI has a path for each."""
    assert {f"/api/v1/{verb}" for verb in VERBS} == json.loads(document())["paths"].keys()


def _references(value: object) -> Iterator[str]:
    """Every $ref anywhere in a document."""
    if isinstance(value, dict):
        yield from [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _references(item)


def test_every_reference_of_the_document_resolves() -> None:
    """Each names a place within the document that is there."""
    told = json.loads(reply("/openapi.json").body)
    references = {*_references(told)}

    assert {"#/components/schemas/Answer", "#/components/schemas/Error", "#/components/schemas/Part"} <= references
    for reference in references:
        at = told
        assert reference.startswith("#/")
        for name in reference[2:].split("/"):
            at = at[name]


def test_the_document_holds_no_schema_that_nothing_names() -> None:
    """What stands in components is referred to."""
    told = json.loads(document())

    assert {f"#/components/schemas/{name}" for name in told["components"]["schemas"]} == {*_references(told)}


@pytest.mark.parametrize("query", [QUESTIONS[2], "m=qwen3-32b&e=vllm&d=H200"])
def test_answers_are_what_the_document_says(query: str) -> None:
    """An estimate is of the schema that the document itself gives for it, and an error of the other."""
    told = json.loads(document())
    responses = told["paths"]["/api/v1/estimate"]["get"]["responses"]

    def check(found: Reply, schema: object) -> None:
        jsonschema.Draft202012Validator({**schema, "components": told["components"]}).validate(json.loads(found.body))

    good, bad = reply("/api/v1/estimate", query), reply("/api/v1/estimate", "m=nothing")
    check(good, responses[str(good.status)]["content"]["application/json"]["schema"])
    check(bad, responses[str(bad.status)]["content"]["application/json"]["schema"])

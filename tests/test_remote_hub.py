"""Repos of the hub and files at addresses: what is read of them, in how few requests, and what the answer says of it."""

import json
import time

import pytest

from gguf_writer import real_header
from hub import COMMIT, Hub, Sparse, etag_of
from remote import PATIENT, config_bytes, forget_models, gguf_file, long_gguf, safetensors_repo, split_gguf
from tonnage.estimation import estimate
from tonnage.model import catalogue, gguf
from tonnage.question import Question
from tonnage.remote import opening
from tonnage.remote.access import environment
from tonnage.source import load, open_question

WHOLE = gguf.parse(real_header("llama3.1-8b"))


@pytest.fixture
def repo(served: Hub) -> Hub:
    """A hub with a repo of two quants, one of them in parts and in a folder, and a projector."""
    parts = {f"Q4_K_M/{path}": content for path, content in split_gguf(3).items()}
    files = {"README.md": b"#", "m-Q8_0.gguf": gguf_file(), "mmproj-F16.gguf": gguf_file("lfm2-1.2b"), **parts}
    served.add("org/m-GGUF", files, revisions=("main", "v2"))
    return served


FORMS = [
    "org/m-GGUF:Q8_0",
    "org/m-GGUF:q8_0",
    "org/m-GGUF@v2:Q8_0",
    "hub:org/m-GGUF:Q8_0",
    "hf.co/org/m-GGUF:Q8_0",
    "org/m-GGUF/m-Q8_0.gguf",
    "org/m-GGUF:m-Q8_0.gguf",
    "https://huggingface.co/org/m-GGUF/blob/main/m-Q8_0.gguf",
    "https://huggingface.co/org/m-GGUF/resolve/v2/m-Q8_0.gguf?download=true",
    "https://hf.co/org/m-GGUF:Q8_0",
    "{url}/org/m-GGUF/blob/main/m-Q8_0.gguf",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_names_the_file(repo, form):
    """However the file is named, it is the same file, at the commit that was listed."""
    opened = open_question(Question(model=form.replace("{url}", repo.url)), PATIENT)
    assert (WHOLE.tensors, None) == (opened.model.tensors, opened.question.quant)
    assert f"{repo.url}/org/m-GGUF/blob/{COMMIT}/m-Q8_0.gguf" == opened.model.source


SPLIT = ["org/m-GGUF:Q4_K_M", "https://huggingface.co/org/m-GGUF/tree/main/Q4_K_M", "org/m-GGUF/Q4_K_M/model-Q4_K_M-00002-of-00003.gguf"]


@pytest.mark.parametrize("form", SPLIT)
def test_a_split_model_is_read_whole(repo, form):
    """The parts are found by their names, whichever of them is given."""
    model = open_question(Question(model=form), PATIENT).model
    assert WHOLE.tensors == model.tensors
    assert sum(content.size for path, content in repo.repos["org/m-GGUF"].files.items() if "Q4_K_M" in path) == model.file_bytes


def test_a_quant_given_as_a_key(repo):
    """`-q` chooses the file of a repo, and the question that is answered names that file."""
    opened = open_question(Question(model="org/m-GGUF", quant="Q8_0"), PATIENT)
    assert ("org/m-GGUF:Q8_0", None) == (opened.question.model, opened.question.quant)
    assert "file" == estimate(opened.question, opened.model).weights.recipe


def test_a_projector_beside_the_model_is_told(repo):
    """What is not counted is said, with the words that count it."""
    model = open_question(Question(model="org/m-GGUF:Q8_0"), PATIENT).model
    assert any("--mmproj org/m-GGUF/mmproj-F16.gguf counts it" in note for note in model.notes)


@pytest.mark.parametrize("form", ["org/m-GGUF/mmproj-F16.gguf", "https://huggingface.co/org/m-GGUF/blob/main/mmproj-F16.gguf", "org/m-GGUF"])
def test_projector_adapter_and_draft_may_lie_elsewhere(repo, form):
    """The keys that name files take every form, too."""
    question = Question(model="org/m-GGUF:Q8_0", mmproj=form, lora=("org/m-GGUF/mmproj-F16.gguf",), draft="org/m-GGUF:Q4_K_M")
    attached = open_question(question, PATIENT).attached
    expected = gguf.parse(real_header("lfm2-1.2b")).tensors
    assert (expected, (expected,), WHOLE.tensors) == (attached.projector, attached.adapters, attached.draft.tensors)


def test_a_gguf_takes_three_requests(repo):
    """The listing, the address, the head; 25 KB of a file of 4.9 GB."""
    open_question(Question(model="org/m-GGUF:Q8_0"), PATIENT)
    assert (3, True) == (len(repo.seen), repo.sent < 30_000)


def test_a_named_file_is_looked_for_while_the_listing_travels(repo):
    """Its redirect is asked for at once; the ranges go straight to where it leads, and no request is made twice."""
    repo.faults["/api/"] = lambda handler: time.sleep(0.2)
    open_question(Question(model="org/m-GGUF/m-Q8_0.gguf"), PATIENT)
    assert {"/api/models/org/m-GGUF/revision/main?blobs=true", "/org/m-GGUF/resolve/main/m-Q8_0.gguf"} == {seen.path for seen in repo.seen[:2]}
    assert ["cdn"] == [seen.host for seen in repo.seen[2:]]


def test_a_file_of_another_commit_is_not_read(repo):
    """Where the branch moves between listing and redirect, the listing's commit is asked for."""
    repo.faults["/resolve/main/"] = lambda handler: handler.redirect(f"{repo.cdn}/other", X_Repo_Commit="0" * 40) or True
    open_question(Question(model="org/m-GGUF/m-Q8_0.gguf"), PATIENT)
    assert f"/org/m-GGUF/resolve/{COMMIT}/m-Q8_0.gguf" in [seen.path for seen in repo.seen]
    assert [] == repo.asked("/other")


def test_a_redirect_that_has_expired_is_asked_for_again(served):
    """The addresses that a hub signs are valid for a while only."""
    served.add("org/st", safetensors_repo(2))
    once = iter([True])
    served.faults["/repos/org/st/model-00001"] = lambda handler: next(once, False) and (handler.send(403) or True)
    assert catalogue.model("qwen3-0.6b").layers == load("org/st", PATIENT).layers
    assert 2 == len([seen for seen in served.asked("/resolve/") if "model-00001" in seen.path])


# --- checkpoints ---


@pytest.mark.parametrize("shards", [1, 2, 40, 200])
def test_a_checkpoint_is_read_by_its_headers(served, shards):
    """Config, index and every shard's header, each header in one request; the same tensors as the built-in model."""
    served.add("org/st", safetensors_repo(shards))
    model = load("org/st", PATIENT)
    assert ("config", shards) == (model.basis, len([seen for seen in served.asked("/resolve/") if seen.path.endswith(".safetensors")]))
    assert catalogue.model("qwen3-0.6b").layers == model.layers
    assert f"{served.url}/org/st/tree/{COMMIT}" == model.source


def test_a_mirror_that_redirects_nowhere(served):
    """It serves the files itself: a look at where they lie costs one byte each."""
    files = safetensors_repo(8)
    served.add("org/st", files)

    def itself(handler) -> bool:
        path = handler.path.rpartition("/")[2]
        handler.content(files[path])
        return True

    served.faults["/resolve/"] = itself
    assert catalogue.model("qwen3-0.6b").layers == load("org/st", PATIENT).layers
    assert served.sent < 200_000


def test_a_kept_header_is_not_looked_for(served):
    """In a second process the shards' redirects are not asked for either: the listing alone."""
    served.add("org/st", safetensors_repo(40))
    load("org/st", PATIENT)
    forget_models(served)
    load("org/st", PATIENT)
    assert ["/api/models/org/st/revision/main?blobs=true"] == [seen.path for seen in served.seen]


def test_headers_travel_side_by_side(served):
    """Forty shards at 20 ms of latency take far less than forty times as long as one."""
    served.add("org/st", safetensors_repo(40))
    served.latency = 0.02
    start = time.monotonic()
    load("org/st", PATIENT)
    assert time.monotonic() - start < 40 * 2 * 0.02


def test_a_repo_with_a_config_alone(served):
    """Without weights the config tells."""
    served.add("org/c", {"config.json": config_bytes()})
    assert catalogue.model("qwen3-0.6b").tensors == load("org/c", PATIENT).tensors


def test_a_config_at_an_address(served):
    """A config.json of any server."""
    served.plain["config.json"] = config_bytes()
    assert catalogue.model("qwen3-0.6b").tensors == load(f"{served.web}/plain/config.json", PATIENT).tensors


def test_weights_and_gguf_in_one_repo(served):
    """The weights that were published answer, unless a quant is named that the repo holds."""
    served.add("org/both", {**safetensors_repo(2), "m-Q8_0.gguf": gguf_file()})
    assert "config" == load("org/both", PATIENT).basis
    assert "config" == open_question(Question(model="org/both:Q4_K_M"), PATIENT).model.basis
    assert "file" == open_question(Question(model="org/both:Q8_0"), PATIENT).model.basis


def test_a_gguf_repo_with_a_config(served):
    """A config beside GGUF files does not stand for them."""
    served.add("org/g", {"config.json": config_bytes(), "m-Q8_0.gguf": gguf_file()})
    assert "file" == load("org/g", PATIENT).basis


# --- listings ---


def test_a_listing_without_sizes(repo):
    """A mirror that tells no sizes is asked by folders, page by page."""
    repo.sizes, repo.page = False, 2
    assert WHOLE.tensors == open_question(Question(model="org/m-GGUF:Q8_0"), PATIENT).model.tensors
    assert 3 == len(repo.asked("/tree/"))


def test_no_listing_of_folders(repo):
    """Without any sizes the server of the file tells its size."""
    repo.sizes = False
    repo.faults["/tree/"] = lambda handler: handler.send(404) or True
    assert 4912915936 == open_question(Question(model="org/m-GGUF:Q8_0"), PATIENT).model.file_bytes


# --- addresses ---


def test_a_plain_address(served):
    """Any server that answers ranges; the answer tells its ETag."""
    served.plain["x.gguf"] = gguf_file()
    model = load(f"{served.web}/plain/x.gguf", PATIENT)
    assert (WHOLE.tensors, 4912915936) == (model.tensors, model.file_bytes)
    assert f"{served.web}/plain/x.gguf (ETag {etag_of(gguf_file())})" == model.source


def test_a_split_model_at_an_address(served):
    """Its other parts lie beside it."""
    served.plain.update(split_gguf(3))
    assert WHOLE.tensors == load(f"{served.web}/plain/model-Q4_K_M-00002-of-00003.gguf", PATIENT).tensors


def test_a_header_that_takes_several_ranges(served):
    """A vocabulary that no plan knows is read through, on one connection, and no weights with it."""
    served.plain["x.gguf"] = long_gguf()
    assert WHOLE.tensors == load(f"{served.web}/plain/x.gguf", PATIENT).tensors
    assert served.sent < 3 * len(long_gguf().head)


# --- what needs no network ---


def test_a_built_in_model_asks_no_one(served):
    """A hub id that is built in is answered without a request, with a quant and by its page, too."""
    for name in ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B:Q4_K_M", "https://huggingface.co/Qwen/Qwen3-0.6B"):
        open_question(Question(model=name), PATIENT)
    assert [] == served.seen


@pytest.mark.parametrize("name", ["hub:Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B@main", "Qwen/Qwen3-0.6B/config.json"])
def test_the_hub_is_asked_when_it_is_named(served, name):
    """A prefix, a revision or a file asks for the repo itself."""
    served.add("Qwen/Qwen3-0.6B", safetensors_repo(1))
    assert served.url in load(name, PATIENT).source


def test_many_questions_ask_once(repo):
    """A model is remembered for some minutes."""
    for context in (1024, 2048, 4096):
        open_question(Question(model="org/m-GGUF:Q8_0", context=context), PATIENT)
    assert 3 == len(repo.seen)


def test_the_cache_of_hub_tools_answers_offline(served, monkeypatch, tmp_path):
    """With HF_HUB_OFFLINE what other tools have downloaded is read."""
    snapshot = tmp_path / "models--org--m" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(config_bytes())
    (tmp_path / "models--org--m" / "refs").mkdir()
    (tmp_path / "models--org--m" / "refs" / "main").write_text(COMMIT)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert catalogue.model("qwen3-0.6b").tensors == load("org/m", PATIENT).tensors
    assert [] == served.seen


# --- the environment ---


def test_the_token_is_found(tmp_path):
    """HF_TOKEN comes before the file that a login writes; what is no token is none."""
    (tmp_path / "token").write_text(" hf_file\n")
    home = {"HF_HOME": str(tmp_path)}
    assert "hf_file" == environment(home).token
    assert "hf_env" == environment({**home, "HF_TOKEN": "hf_env"}).token
    assert "" == environment({**home, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}).token
    assert "" == environment({"HF_HOME": "/nowhere", "HF_TOKEN": "a\r\nX: y"}).token


# --- the same model from everywhere ---

SAME = [
    "qwen3-0.6b", "qwen3-8b", "qwen3-32b", "qwen3-30b-a3b", "qwen2.5-7b-instruct", "qwen2.5-72b-instruct", "llama-3.1-8b", "smollm3-3b",
    "qwen3.5-122b-a10b", "mistral-small-3.2-24b", "gemma-3-27b",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SAME if catalogue.find(name)])
def test_every_source_of_a_model_gives_the_same_estimate(served, tmp_path, name):
    """Built in, from a config, from a repo's headers, from a folder, and from a GGUF of its tensors: one answer."""
    from gguf_writer import write

    built_in = catalogue.model(name)
    files = safetensors_repo(2, name)
    served.add("org/st", files)
    served.add("org/config", {"config.json": files["config.json"]})
    for path, content in files.items():
        (tmp_path / path).write_bytes(content if isinstance(content, bytes) else content.head)
        if isinstance(content, Sparse):
            with open(tmp_path / path, "r+b") as file:
                file.truncate(content.size)
    head = write({"general.architecture": built_in.architecture, **_keys(built_in)}, built_in.tensors)
    served.add("org/gguf", {"m-BF16.gguf": Sparse(head, gguf.parse(head).file_bytes_needed)})
    question = Question(model=name, quant="BF16", context=32768)
    answers = {source: _figures(question, load(source, PATIENT)) for source in (name, "org/config", "org/st", str(tmp_path))}
    answers["gguf"] = _figures(Question(model=name, context=32768), load("org/gguf", PATIENT))
    assert dict.fromkeys(answers, answers[name]) == answers


def _keys(model) -> dict:
    return {f"{model.architecture}.{key}": list(value) if isinstance(value, tuple) else value for key, value in model.hparams.items()}


def _figures(question: Question, model) -> list:
    return [(device.name, part.part, part.bytes) for device in estimate(question, model).devices for part in device.parts]


@pytest.mark.network
def test_the_real_hub(monkeypatch):
    """The hub itself answers as the imitation does."""
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    model = load("hub:Qwen/Qwen3-0.6B")
    assert catalogue.model("qwen3-0.6b").tensors == model.tensors
    assert "huggingface.co/Qwen/Qwen3-0.6B/tree/" in model.source
    assert json.dumps(opening.list_repo(opening.Repo("Qwen/Qwen3-0.6B-GGUF"))[0].stored.name)


def test_memory_of_a_process_is_not_a_cache_on_disk(repo):
    """A new process asks for the listing alone: the header is on disk."""
    open_question(Question(model="org/m-GGUF:Q8_0"), PATIENT)
    forget_models(repo)
    open_question(Question(model="org/m-GGUF:Q8_0"), PATIENT)
    assert ["/api/models/org/m-GGUF/revision/main?blobs=true"] == [seen.path for seen in repo.seen]

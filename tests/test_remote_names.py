"""What users write for models that lie elsewhere, and which files of a repo that means."""

import pytest

from tonnage.errors import QuestionError, SourceError
from tonnage.remote import choice
from tonnage.remote.choice import RepoFile
from tonnage.remote.names import Ollama, Repo, Web, parse

MIRROR = "http://mirror.test:8080/hub"

NAMES = [
    ("org/repo", Repo("org/repo")),
    ("org/repo/", Repo("org/repo")),
    ("org/repo:Q4_K_M", Repo("org/repo", "", "Q4_K_M")),
    ("org/repo@v1.0", Repo("org/repo", "v1.0")),
    ("org/repo@refs/pr/3:Q8_0", Repo("org/repo", "refs/pr/3", "Q8_0")),
    ("org/repo/sub/x.gguf", Repo("org/repo", "", "", "sub/x.gguf")),
    ("org/repo@v1/x.gguf", Repo("org/repo", "v1", "", "x.gguf")),
    ("hub:org/repo", Repo("org/repo")),
    ("hub:gpt2", Repo("gpt2")),
    ("hf:org/repo:Q4_K_M", Repo("org/repo", "", "Q4_K_M")),
    ("hf.co/org/repo:Q4_K_M", Repo("org/repo", "", "Q4_K_M")),
    ("huggingface.co/org/repo", Repo("org/repo")),
    ("https://huggingface.co/org/repo", Repo("org/repo")),
    ("https://huggingface.co/org/repo/", Repo("org/repo")),
    ("https://hf.co/org/repo?library=transformers", Repo("org/repo")),
    ("https://huggingface.co/org/repo/tree/main", Repo("org/repo")),
    ("https://huggingface.co/org/repo/tree/main/Q4_K_M", Repo("org/repo", "", "", "Q4_K_M/")),
    ("https://huggingface.co/org/repo/tree/v2", Repo("org/repo", "v2")),
    ("https://huggingface.co/org/repo/blob/main/x.gguf", Repo("org/repo", "", "", "x.gguf")),
    ("https://huggingface.co/org/repo/blob/main/a/x%20y.gguf", Repo("org/repo", "", "", "a/x y.gguf")),
    ("https://huggingface.co/org/repo/resolve/refs%2Fpr%2F7/x.gguf?download=true", Repo("org/repo", "refs/pr/7", "", "x.gguf")),
    ("https://huggingface.co/org/repo/resolve/refs/pr/7/x.gguf", Repo("org/repo", "refs/pr/7", "", "x.gguf")),
    ("https://huggingface.co/org/repo/raw/main/config.json", Repo("org/repo", "", "", "config.json")),
    ("https://huggingface.co/org/repo/discussions/5", Repo("org/repo")),
    ("https://huggingface.co/api/models/org/repo", Repo("org/repo")),
    ("https://huggingface.co/gpt2", Repo("gpt2")),
    ("https://huggingface.co/gpt2/blob/main/config.json", Repo("gpt2", "", "", "config.json")),
    (f"{MIRROR}/org/repo/blob/main/x.gguf", Repo("org/repo", "", "", "x.gguf")),
    ("https://hf-mirror.com/org/repo/blob/main/x.gguf", Web("https://hf-mirror.com/org/repo/resolve/main/x.gguf")),
    ("https://example.com/x.gguf?sig=1", Web("https://example.com/x.gguf?sig=1")),
    ("ollama:qwen3", Ollama("", "library", "qwen3", "latest")),
    ("ollama:qwen3.5:122b", Ollama("", "library", "qwen3.5", "122b")),
    ("ollama:someone/model:tag", Ollama("", "someone", "model", "tag")),
    ("ollama:reg.test:5000/ns/model", Ollama("reg.test:5000", "ns", "model", "latest")),
    ("ollama:hf.co/org/repo:Q4_K_M", Ollama("hf.co", "org", "repo", "Q4_K_M")),
    ("qwen3-0.6b", None),
    ("./org/repo", None),
    ("a/b/c", None),
    ("x y/z", None),
]


@pytest.mark.parametrize(("name", "place"), NAMES, ids=[row[0] for row in NAMES])
def test_a_name_is_a_place(name, place):
    """Every form in which people paste a model leads to the same place."""
    assert place == parse(name, MIRROR)


REFUSED = [
    ("hub:a b", QuestionError),
    ("hub:org/repo/../../x", QuestionError),
    ("https://huggingface.co/datasets/org/set", QuestionError),
    ("https://huggingface.co/", QuestionError),
    ("https://huggingface.co/org/repo/blob/main/../x.gguf", QuestionError),
    ("ollama:../../etc/passwd", QuestionError),
    ("ollama:", QuestionError),
    ("http://[::1", SourceError),
]


@pytest.mark.parametrize(("name", "error"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_no_place_is_refused(name, error):
    """A remote form with something wrong in it is told so in one line."""
    with pytest.raises(error) as caught:
        parse(name, MIRROR)
    assert "\n" not in str(caught.value)


QUANTS = [
    ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
    ("Qwen3-8B.Q4_K_M.gguf", "Q4_K_M"),
    ("model-UD-Q4_K_XL-00001-of-00003.gguf", "UD-Q4_K_XL"),
    ("model.i1-IQ2_XXS.gguf", "i1-IQ2_XXS"),
    ("BF16/model-00001-of-00002.gguf", "BF16"),
    ("gpt-oss-20b-mxfp4.gguf", "mxfp4"),
    ("gemma-3-27b-it-q4_0.gguf", "q4_0"),
    ("model-Q4_0_4_8.gguf", "Q4_0_4_8"),
    ("model-fp16.gguf", "fp16"),
    ("Q2-model.gguf", ""),
    ("model.gguf", ""),
]


@pytest.mark.parametrize(("path", "quant"), QUANTS, ids=[row[0] for row in QUANTS])
def test_a_file_names_its_quant(path, quant):
    """The quant stands in the file's name, or in its folder's."""
    assert quant == choice.quant_of(path)


REPO = tuple(
    RepoFile(path, size)
    for path, size in (
        ("m-Q8_0.gguf", 80), ("m-Q4_K_M.gguf", 40), ("mmproj-F16.gguf", 5), ("imatrix.gguf", 1), ("README.md", 1),
        ("BF16/m-BF16-00001-of-00002.gguf", 90), ("BF16/m-BF16-00002-of-00002.gguf", 70),
    )
)  # fmt: skip


def test_the_models_of_a_repo():
    """Parts are one model; projectors and importance matrices are none; smallest first."""
    assert [("Q4_K_M", 40), ("Q8_0", 80), ("BF16", 160)] == [(model.quant, model.file_bytes) for model in choice.models(REPO)]


def test_a_folder_of_a_repo():
    """A folder's address narrows the choice."""
    assert ["BF16"] == [model.quant for model in choice.models(REPO, "BF16/")]


@pytest.mark.parametrize("wanted", ["Q4_K_M", "q4_k_m", "m-Q4_K_M.gguf", "m-q4_k_m"])
def test_a_quant_is_found_in_any_case(wanted):
    """A model is asked for by its quant or its file."""
    assert "m-Q4_K_M.gguf" == choice.choose(choice.models(REPO), wanted, "org/repo").files[0].path


UNCLEAR = [
    ("", REPO, r"several quants: Q4_K_M, Q8_0, BF16; name one, as in org/repo:Q4_K_M"),
    ("Q4_K_S", REPO, r"holds no Q4_K_S, but Q4_K_M, Q8_0, BF16; did you mean Q4_K_M"),
    ("BF16", REPO[:-1], r"lacks 1 of 2 parts of the model: BF16/m-BF16-00002-of-00002\.gguf"),
    ("Q8_0", (*REPO, RepoFile("other-Q8_0.gguf", 9)), r"2 models in Q8_0: other-Q8_0\.gguf, m-Q8_0\.gguf"),
]


@pytest.mark.parametrize(("wanted", "files", "message"), UNCLEAR, ids=["none named", "not there", "part missing", "two alike"])
def test_an_unclear_quant_is_refused(wanted, files, message):
    """Where it is not clear which file is meant, the message lists what there is."""
    with pytest.raises(SourceError, match=message):
        choice.choose(choice.models(files), wanted, "org/repo")

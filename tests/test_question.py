"""The codec of questions: command line, query string, JSON and keywords say the same."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tonnage.errors import QuestionError
from tonnage.keys import KEYS, OPTIONS, SPELLINGS, Key
from tonnage.question import Question, from_argv, from_dict, from_query, to_argv, to_dict, to_query
from tonnage.values import MAX_INTEGER

VECTORS = Path(__file__).parent / "data" / "vectors"
READERS = {"argv": from_argv, "query": from_query, "json": from_dict}


def vectors(name):
    """One parameter per vector and form."""
    rows = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return [pytest.param(form, row, id=f"{row['about']}: {form}") for row in rows for form in READERS]


@pytest.mark.parametrize(("form", "row"), vectors("questions.json"))
def test_every_form_reads_to_the_canonical_keys(form, row):
    """Whatever form a question comes in, it stands for the same keys and values."""
    assert row["canonical"] == to_dict(READERS[form](row[form]))


@pytest.mark.parametrize("form", READERS)
def test_the_canonical_query_is_written(form):
    """A question is written as one query string, whatever form it came in."""
    for row in json.loads((VECTORS / "questions.json").read_text(encoding="utf-8")):
        assert row["canonical_query"] == to_query(READERS[form](row[form]))


@pytest.mark.parametrize(("form", "row"), vectors("question-errors.json"))
def test_wrong_questions_are_refused_by_name(form, row):
    """A refusal is one line that names the key, the value and what is allowed."""
    with pytest.raises(QuestionError) as caught:
        READERS[form](row[form])
    message = str(caught.value)
    assert [] == [word for word in row["names"] if word not in message]
    assert "\n" not in message


def test_table_and_dataclass_hold_the_same_keys():
    """Every key of the table is a field of Question, in the table's order."""
    assert list(KEYS) == [field.name for field in dataclasses.fields(Question)]


def test_no_spelling_stands_for_two_keys():
    """An option or alias is written in one row of the table alone."""
    written = [spelling for key in KEYS.values() for spelling in (key.option, *(["-" + key.short] if key.short else []), *key.aliases, *key.flags)]
    assert sorted(set(written)) == sorted(written)
    assert len(set(written)) <= len(OPTIONS)


def test_every_spelling_of_the_command_line_is_one_of_json():
    """What an option is called, its dashes aside, JSON and query string take too."""
    plain = {option.lstrip("-").replace("-", "_"): name for option, (name, _) in OPTIONS.items()}
    assert plain == {spelling: SPELLINGS[spelling][0] for spelling in plain}


@pytest.mark.parametrize("value", [[], 3, "text", None, True])
def test_a_question_must_be_an_object(value):
    """JSON that is no object is refused, not taken apart."""
    with pytest.raises(QuestionError, match="must be a JSON object"):
        from_dict(value)


def test_too_many_fields_are_refused():
    """A query string of endless fields is not read to its end."""
    with pytest.raises(QuestionError, match="500 fields"):
        from_query("&".join(["m=a"] * 1000))


def test_words_behind_two_dashes_are_no_options():
    """`--` ends the options, so that a model may be called like one."""
    assert Question(model="-odd") == from_argv(["--", "-odd"])


# --- properties -----------------------------------------------------------------------------------

printable = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=40)


def values_of(key: Key):
    """Values that the key may have."""
    one = {
        "text": st.sampled_from(key.choices) | printable if key.choices else printable,
        "choice": st.sampled_from(key.choices or ("",)),
        "switch": st.booleans(),
        "count": st.integers(key.minimum, MAX_INTEGER),
        "tokens": st.integers(key.minimum, MAX_INTEGER) | st.integers(max(key.minimum, 1), 2**20).map(lambda n: n * 1024),
        "size": st.integers(0, MAX_INTEGER) | st.integers(0, 2**20).map(lambda n: n * 2**30),
        "number": st.floats(0, 1e15, allow_nan=False) | st.integers(0, 2**53).map(float),
    }[key.kind.removesuffix("s") if key.is_list else key.kind]
    if key.name == "slots":
        one = st.integers(1, MAX_INTEGER)
    return st.lists(one, min_size=1, max_size=4).map(tuple) if key.is_list else one


@st.composite
def questions(draw):
    """A question with any keys given."""
    names = draw(st.sets(st.sampled_from([name for name in KEYS if name != "model"]), max_size=12))
    return Question(model=draw(printable), **{name: draw(values_of(KEYS[name])) for name in KEYS if name in names})


@given(questions())
def test_json_round_trip(question):
    """What is written as JSON is read as the same question."""
    assert question == from_dict(json.loads(json.dumps(to_dict(question))))


@given(questions())
def test_query_round_trip(question):
    """What is written as a query string is read as the same question."""
    assert question == from_query(to_query(question))


@given(questions())
def test_argv_round_trip(question):
    """What is written as a command line is read as the same question."""
    assert question == from_argv(to_argv(question))


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers() | st.text(max_size=5), max_size=3)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(SPELLINGS)) | st.text(max_size=8), anything, max_size=6))
def test_any_object_is_read_or_refused(given_keys):
    """No JSON object makes the codec fail otherwise than by QuestionError."""
    try:
        question = from_dict({"model": "a", **given_keys})
    except QuestionError:
        return
    assert question == from_query(to_query(question))


@given(st.lists(st.sampled_from(sorted(OPTIONS)) | st.text(max_size=8), max_size=6))
def test_any_words_are_read_or_refused(words):
    """No command line makes the codec fail otherwise than by QuestionError."""
    try:
        question = from_argv(["a", *words])
    except QuestionError:
        return
    assert question == from_argv(to_argv(question))


@given(st.text(max_size=60))
def test_any_query_is_read_or_refused(text):
    """No query string makes the codec fail otherwise than by QuestionError."""
    try:
        question = from_query("m=a&" + text)
    except QuestionError:
        return
    assert question == from_query(to_query(question))

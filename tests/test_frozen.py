"""Our frozen values behave as the standard library's."""

import copy
import dataclasses
import pickle

import pytest

from tonnage import frozen


@frozen.dataclass(frozen=True, slots=True)
class Ours:
    """A value."""

    a: int
    b: str = "x"
    c: dict = frozen.field(default_factory=dict)

    @property
    def twice(self):
        """A property keeps working."""
        return 2 * self.a


@frozen.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Named:
    """A value of identity, with keywords alone."""

    a: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """The same by the standard library."""

    a: int
    b: str = "x"
    c: dict = dataclasses.field(default_factory=dict)


def test_text_is_the_standard_librarys():
    """A value shows its fields as a dataclass does."""
    assert repr(Theirs(1, c={2: 3})).replace("Theirs", "Ours") == repr(Ours(1, c={2: 3}))


def test_values_are_equal_by_their_fields():
    """Two values are equal when class and fields are."""
    assert Ours(1) == Ours(1, "x", {})
    assert Ours(1) != Ours(2)
    assert Ours(1) != Theirs(1)


def test_hash_is_that_of_the_fields():
    """Equal values have one hash; a field that has none is an error."""
    assert hash((1, "x", 5)) == hash(Ours(1, "x", 5))
    with pytest.raises(TypeError):
        hash(Ours(1))


def test_identity_where_equality_is_off():
    """With eq off a value is equal to itself alone, and has a hash."""
    value = Named()
    assert {value: 1}[value] == 1
    assert value != Named()


def test_nothing_can_be_changed():
    """Assigning to a field or deleting it is refused, and there is no room for others."""
    value = Ours(1)
    with pytest.raises(frozen.FrozenInstanceError):
        value.a = 2
    with pytest.raises(frozen.FrozenInstanceError):
        del value.a
    assert not hasattr(value, "__dict__")


def test_defaults_are_made_anew():
    """A default factory is called for each value."""
    assert Ours(1).c is not Ours(1).c


def test_wrong_arguments_are_refused():
    """A missing or unknown argument is a TypeError, as is a position where there are keywords alone."""
    for make in (lambda: Ours(), lambda: Ours(1, z=2), lambda: Named(1)):
        with pytest.raises(TypeError):
            make()


def test_copies_and_pickles():
    """A value survives copying and pickling."""
    value = Ours(1, "y", {1: 2})
    assert value == copy.deepcopy(value) == pickle.loads(pickle.dumps(value))


def test_replace_keeps_the_rest():
    """`replace` changes what is named, ours and the standard library's alike."""
    assert Ours(2, "y") == frozen.replace(Ours(1, "y"), a=2) == dataclasses.replace(Ours(1, "y"), a=2)


def test_the_standard_library_knows_the_fields():
    """`dataclasses` sees fields and defaults."""
    assert ["a", "b", "c"] == [f.name for f in dataclasses.fields(Ours)]
    assert {"a": 1, "b": "x", "c": {}} == dataclasses.asdict(Ours(1))
    assert dataclasses.is_dataclass(Ours(1))


def test_properties_and_patterns_work():
    """Methods stay, and positional patterns match."""
    assert 6 == Ours(3).twice
    match Ours(3, "z"):
        case Ours(a, b):
            assert (3, "z") == (a, b)

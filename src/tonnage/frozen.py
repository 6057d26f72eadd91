"""Frozen dataclasses at a tenth of their price.

`dataclasses` imports `inspect` and compiles six functions per class: with some forty value classes
that is half of what a command line has for its whole start (benchmarks/bench_startup.py). This module makes
the same classes, frozen and slotted, and compiles `__init__` alone. Type checkers see the real thing,
and `dataclasses.fields`, `replace` and `asdict` work on them.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import FrozenInstanceError, dataclass, field, replace
else:
    from operator import attrgetter

    class FrozenInstanceError(AttributeError):
        """A frozen value was to be changed."""

    class _Factory:
        """A default that is made anew for every value."""

        __slots__ = ("make",)

        def __init__(self, make):
            self.make = make

    def field(*, default_factory):
        """A default that is made anew for every value."""
        return _Factory(default_factory)

    def dataclass(*, frozen, slots, eq=True, kw_only=False):
        """`dataclasses.dataclass(frozen=True, slots=True)`; nothing else is made here."""
        assert frozen, "values are frozen"
        assert slots, "values have slots"

        def make(cls):
            assert cls.__bases__ == (object,), "a frozen value has no base class"
            names = tuple(cls.__annotations__)
            namespace = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
            defaults = {name: namespace.pop(name) for name in names if name in namespace}
            told = namespace.get("__repr__")  # as with `dataclasses`, a class that has its own keeps it
            namespace |= _methods(names, eq) | ({"__repr__": told} if told else {})
            namespace |= {"__slots__": names, "__match_args__": () if kw_only else names, "__annotations__": dict(cls.__annotations__)}
            namespace["__dataclass_fields__"] = _Fields(defaults, kw_only)
            made = type(cls.__name__, (), namespace)
            made.__init__ = _by_keyword(made, names, defaults) if kw_only else _init(made, names, defaults)
            return made

        return make

    def _by_keyword(cls, names, defaults):
        """The constructor of a class of many fields and few values: nothing is compiled for it."""

        def init(self, **given):
            values = {name: value.make() if isinstance(value, _Factory) else value for name, value in defaults.items()} | given
            wrong = (values.keys() - names) or (set(names) - values.keys())
            if wrong:
                raise TypeError(f"{cls.__qualname__}() lacks or does not know {', '.join(sorted(wrong))}")
            for name, value in values.items():
                getattr(cls, name).__set__(self, value)

        return init

    def _init(cls, names, defaults):
        """The constructor, compiled for this class: it sets the slots past the frozen `__setattr__`."""
        scope = {f"_set_{name}": getattr(cls, name).__set__ for name in names}
        words, lines = ["self"], []
        for name in names:
            default, value = defaults.get(name), name
            if isinstance(default, _Factory):
                scope[f"_make_{name}"], scope["_unset"] = default.make, _Factory
                value = f"_make_{name}() if {name} is _unset else {name}"
                words.append(f"{name}=_unset")
            elif name in defaults:
                scope[f"_default_{name}"] = default
                words.append(f"{name}=_default_{name}")
            else:
                words.append(name)
            lines.append(f"  _set_{name}(self, {value})")
        exec("def __init__({}):\n{}".format(", ".join(words), "\n".join(lines)), scope)
        init = scope["__init__"]
        init.__qualname__ = f"{cls.__qualname__}.__init__"
        init.__annotations__ = {**cls.__annotations__, "return": None}
        return init

    def _methods(names, eq):
        """What every value can do, over its slots."""
        get = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)

        def repr_(self):
            return f"{type(self).__qualname__}({', '.join(f'{n}={v!r}' for n, v in zip(names, get(self), strict=True))})"

        def eq_(self, other):
            return get(self) == get(other) if other.__class__ is self.__class__ else NotImplemented

        def hash_(self):
            return hash(get(self))

        def reduce_(self):
            return _rebuilt, (type(self), dict(zip(names, get(self), strict=True)))

        compared = {"__eq__": eq_, "__hash__": hash_} if eq else {}
        return {"__repr__": repr_, "__reduce__": reduce_, "__setattr__": _refuse, "__delattr__": _refuse, **compared}

    def _rebuilt(cls, values):
        return cls(**values)

    def _refuse(self, name, value=None):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    class _Fields:
        """`__dataclass_fields__`, made when someone asks for it."""

        def __init__(self, defaults, kw_only):
            self.defaults = defaults
            self.kw_only = kw_only

        def __get__(self, value, cls):
            import dataclasses

            def one(name):
                default = self.defaults.get(name)
                if isinstance(default, _Factory):
                    return dataclasses.field(default_factory=default.make)
                return dataclasses.field(default=default) if name in self.defaults else dataclasses.field()

            rows = [(name, kind, one(name)) for name, kind in cls.__annotations__.items()]
            return dataclasses.make_dataclass(cls.__name__, rows, kw_only=self.kw_only).__dataclass_fields__

    def replace(value, /, **changes):
        """A copy of `value` with some fields changed."""
        cls = type(value)
        return cls(**{**{name: getattr(value, name) for name in cls.__slots__}, **changes})


__all__ = ["FrozenInstanceError", "dataclass", "field", "replace"]

"""The files that a model is published as, whoever wrote them -> Model."""

from typing import Any

from tonnage.errors import CorruptError
from tonnage.model import build
from tonnage.model.safetensors import Header
from tonnage.model.types import Model


def model(config: Any, header: Header | None, name: str, source: str) -> Model:
    """The model of a config.json, and of the safetensors beside it; CorruptError where a field is of the wrong kind."""
    if not isinstance(config, dict):
        raise CorruptError(f"{source} is no config.json: it must hold one JSON object")
    try:
        if header is None:
            return build.from_config(config, name, source)
        from tonnage.model import stored  # a config alone waits for none of it

        return stored.from_safetensors(config, header, name, source)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise CorruptError(f"{source}: a field is not of the kind that its model needs ({type(error).__name__}: {error})") from error

"""Arguments of constructors: those that are saved with a model, and those that were renamed."""

from __future__ import annotations

import functools
import inspect
import json
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from imglab.errors import InputError, Problem

T = TypeVar("T")

MISSING = object()
STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def constructor_arguments(model: object) -> dict[str, Any]:
    """Return the arguments that make a model like this one: its attributes of the same names.

    An argument `shares` is looked for as `model.shares` and `model._shares`; `modality` is left
    out, since a fitted model has taken from it what it needs. Raises TypeError for an argument
    that is not kept, or that is neither a tensor nor a JSON value.
    """
    attributes = vars(model)

    arguments = {}
    for name, parameter in inspect.signature(type(model)).parameters.items():
        if name == "modality" or parameter.kind in STARRED:
            continue

        value = attributes.get(name, attributes.get(f"_{name}", MISSING))
        if not isinstance(value, Tensor) and not _is_json(value):
            what = f"keeps its constructor's argument `{name}` neither as a tensor nor as JSON"
            remedy = f"keep it as `self.{name}`, or write `save` and `load`"
            raise TypeError(f"{type(model).__name__} {what}: {remedy}")
        arguments[name] = value
    return arguments


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def check_constructor(model: type, base: type) -> None:
    """Raise InputError if `model` is opened as `base` opens it, by keyword, and cannot be.

    A class that writes its own `load` or `restore` opens in its own way.
    """
    for method in ("load", "restore"):
        if inspect.getattr_static(model, method) is not inspect.getattr_static(base, method):
            return

    for name, parameter in inspect.signature(model).parameters.items():
        if name == "modality" and parameter.default is parameter.empty:
            what = "has no default, and a saved model is opened without one"
            remedy = "write `modality=None`, and keep what the model takes from it"
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            what = "cannot be given by name, as it is when a saved model is opened"
            remedy = "remove the `/`"
        else:
            continue

        where = f"{model.__module__}:{model.__qualname__}"
        what = f"its constructor's argument `{name}` {what}"
        raise InputError(Problem(where, what, f"{remedy}, or write `description` and `restore`"))


def renamed_arguments(**new_names: str) -> Callable[[type[T]], type[T]]:
    """Return a decorator of classes whose constructors also take keywords by their old names.

    new_names  old name -> the name that it has now
    """

    def decorate(cls: type[T]) -> type[T]:
        initialise = cls.__dict__["__init__"]

        @functools.wraps(initialise)
        def __init__(self: T, *arguments: Any, **keywords: Any) -> None:
            for old, new in new_names.items():
                if old in keywords:
                    text = f"{cls.__name__}({old}=) is called {new}= now"
                    warnings.warn(text, DeprecationWarning, stacklevel=2)
                    keywords[new] = keywords.pop(old)
            initialise(self, *arguments, **keywords)

        setattr(cls, "__init__", __init__)  # noqa: B010
        return cls

    return decorate

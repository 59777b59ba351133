"""The base class of all models: fields are described by the docstrings below them.

pydantic's `use_attribute_docstrings` does the same, and reads the source of each class while it is defined, a
third of a short command's time. Here it is read when a description is asked for.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class _Fields:
    """`model_fields`, with descriptions."""

    def __get__(self, _model: object, cls: type[BaseModel]) -> Mapping[str, FieldInfo]:
        if cls not in _DESCRIBED:
            _describe(cls)
        return cls.__pydantic_fields__


class Described(BaseModel):
    """A model whose fields are described by the docstrings below them. Its validator is built on first use."""

    model_config = ConfigDict(defer_build=True)

    if not TYPE_CHECKING:
        model_fields: ClassVar[Any] = _Fields()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        """The JSON Schema that pydantic makes, with descriptions."""
        made = handler(schema)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for name, field in cls.model_fields.items():
            described = properties.get(name, properties.get(field.serialization_alias or field.alias))
            if described is not None and field.description:
                described.setdefault("description", field.description)
        return made


_DESCRIBED: WeakSet[type[BaseModel]] = WeakSet()


def _describe(cls: type[BaseModel]) -> None:
    for name, field in cls.__pydantic_fields__.items():
        if field.description is None:
            owner = next(base for base in cls.__mro__ if name in inspect.get_annotations(base))
            field.description = _docstrings(owner.__module__).get(owner.__qualname__, {}).get(name)
    if cls.__pydantic_fields_complete__:  # else pydantic makes the fields anew when it can read all annotations
        _DESCRIBED.add(cls)


@lru_cache(maxsize=64)
def _docstrings(module: str) -> Mapping[str, Mapping[str, str]]:
    """Docstrings of attributes, by the qualified name of their class and their own."""
    found: dict[str, Mapping[str, str]] = {}
    try:
        source = inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        return found  # a class made at run time, or a distribution without sources
    _collect(ast.parse(source).body, "", found)
    return found


def _collect(body: Iterable[ast.stmt], within: str, found: dict[str, Mapping[str, str]]) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef):
            name = f"{within}{node.name}"
            found[name] = dict(_of_class(node))
            _collect(node.body, f"{name}.", found)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            _collect(node.body, f"{within}{node.name}.<locals>.", found)


def _of_class(node: ast.ClassDef) -> Iterable[tuple[str, str]]:
    for field, after in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = after.value.value
            if isinstance(text, str):
                yield field.target.id, inspect.cleandoc(text)

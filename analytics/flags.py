"""A flag of the command line, and a PLUMBLINE_* variable, for every setting."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import typer

from analytics.settings import Setting, Settings


def with_settings(run: Callable[[Settings], None]) -> Callable[..., None]:
    """Give a command one flag and one PLUMBLINE_* variable per field of Settings."""
    hints = typing.get_type_hints(Settings, include_extras=True)
    parameters = []
    for field in msgspec.structs.fields(Settings):
        kind, setting = typing.get_args(hints[field.name])[:2]
        assert isinstance(setting, Setting)
        option = typer.Option(help=setting.help, envvar=f"PLUMBLINE_{field.name.upper()}")
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        parameters.append(
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
            )
        )

    def command(**values: Any) -> None:
        run(Settings(**values))

    command.__doc__ = run.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command

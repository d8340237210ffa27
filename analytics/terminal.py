"""What the commands share: errors of ours as one sentence, never a traceback."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

import typer

from analytics.errors import PlumblineError


@contextlib.contextmanager
def faces(code: int = 2) -> Iterator[None]:
    """Errors of ours as one sentence on stderr and this exit code; never a traceback."""
    try:
        yield
    except PlumblineError as error:
        typer.echo(f"error {error.message}", err=True)
        if error.hint:
            typer.echo(f"hint  {error.hint}", err=True)
        raise typer.Exit(code) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            typer.echo("error this port is in use; stop the other program or choose another with --port", err=True)
            raise typer.Exit(code) from None
        typer.echo(f"error {error.strerror or error}: {error.filename or ''}".rstrip(": "), err=True)
        raise typer.Exit(code) from None

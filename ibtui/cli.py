"""The words of `ibtui`: parses them, then imports the one command that was asked for.

Each command's work lives in `service.commands`; nothing heavy is imported here, so that
help, completion and the first frame are quick.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ibtui import cli_config, cli_ibkey, cli_keep, cli_oauth, cli_serve
from ibtui.cli_help import Group
from ibtui.errors import IbtuiError, ReaderGone, UsageError

F = TypeVar("F", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path, dir_okay=False)


class _Method(click.ParamType):  # type: ignore[type-arg]
    name = "method"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value).upper() not in _VERBS:
            self.fail(f"{value!r} is not one of {', '.join(_VERBS)}.", param, ctx)
        return str(value).upper()


_VERBS = ("GET", "POST", "PUT", "DELETE")
_METHOD = _Method()


def common(command: F) -> F:
    """The options that work everywhere; they reach the command as one `Context`."""

    @click.option("--profile", metavar="NAME", help="Profile to work on.")
    @click.option("--config", type=_PATH, metavar="FILE", help="Settings file.")
    @click.option("--json", "as_json", is_flag=True, help="Machine form on standard output.")
    @click.option("--debug", is_flag=True, help="Write details and tracebacks to the log.")
    @functools.wraps(command)
    def wrapped(
        *args: Any, profile: str | None, config: Path | None, as_json: bool, debug: bool, **more: Any
    ) -> Any:
        from ibtui.service.commands.context import Context

        outer = _outer()
        context = Context.make(
            config or outer.get("config"),
            profile or outer.get("profile"),
            as_json=as_json or outer.get("json", False),
            debug=debug or outer.get("debug", False),
        )
        return command(context, *args, **more)

    return wrapped  # type: ignore[return-value]


def _outer() -> dict[str, Any]:
    """The common options given before the command."""
    return click.get_current_context().find_root().obj or {}


@click.group(cls=Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--profile", metavar="NAME", help="Profile to work on.")
@click.option("--config", type=_PATH, metavar="FILE", help="Settings file.")
@click.option("--json", "as_json", is_flag=True, help="Machine form on standard output.")
@click.option("--debug", is_flag=True, help="Write details and tracebacks to the log.")
@click.version_option(package_name="ibtui", prog_name="ibtui")
@click.pass_context
def app(ctx: click.Context, profile: str | None, config: Path | None, as_json: bool, debug: bool) -> Any:
    """Get an Interactive Brokers Web API session up, keep it up and watch it.

    Without a command: the terminal UI. Example: ibtui demo
    """
    ctx.obj = {"profile": profile, "config": config, "json": as_json, "debug": debug}
    if ctx.invoked_subcommand is None:
        from ibtui.service.commands import terminal
        from ibtui.service.commands.context import Context

        return terminal.main(Context.make(config, profile, as_json=as_json, debug=debug))
    return None


@app.command()
@common
@click.option("--seed", type=int, default=7, show_default=True, help="The simulator's seed.")
def demo(context: Any, seed: int) -> Any:
    """The terminal UI on the built-in simulator, gateway process, login and all.

    Without a terminal: the same job as text. Example: ibtui demo
    """
    from ibtui.service.commands import terminal

    return terminal.demo(context, seed)


@app.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; 0 takes a free one.")
@click.option("--plain", is_flag=True, help="HTTP, to stand behind the real Java gateway.")
@click.option("--scenario", metavar="NAME|FILE", help="A TOML file of quirks and users.")
@click.option("--seed", type=int, default=7, show_default=True, help="Same seed, same users and market.")
@click.option("--logged-in", metavar="USER", help="Start with this user's sessions open.")
@click.option("--tied", is_flag=True, help="End when standard input ends.")
@click.option("--ready", type=_PATH, metavar="FILE", help="Write the addresses here once it listens.")
@click.option("--json", is_flag=True, expose_value=False, hidden=True)  # what it prints is JSON already
def sim(**options: Any) -> Any:
    """A faithful local IBKR to try things on. Example: ibtui sim --port 5001"""
    from ibtui.service.commands import simulator

    return simulator.sim(**options)


@app.group(cls=Group)
def gateway() -> None:
    """The gateway process."""


def _gateway(name: str, text: str) -> None:
    @gateway.command(name, help=f"{text} Example: ibtui gateway {name}")
    @common
    def verb(context: Any) -> Any:
        from ibtui.service.commands import gateway as commands

        return getattr(commands, name)(context)


@gateway.command("install")
@common
@click.option("--from", "source", type=click.Path(path_type=Path), metavar="FILE", help="A zip, or a folder.")
@click.option("--rollback", is_flag=True, help="Back to the one before.")
def gateway_install(context: Any, source: Path | None, rollback: bool) -> Any:
    """Download and install IBKR's gateway. Example: ibtui gateway install --from clientportal.gw.zip"""
    from ibtui.service.commands import gateway_install as commands

    return commands.install(context, source=source, rollback=rollback)


_gateway("start", "Start the gateway, or find the one that runs.")
_gateway("stop", "Stop a gateway that ibtui started.")
_gateway("restart", "Stop and start it.")
_gateway("status", "Is it up, whose is it, since when.")


@gateway.command("logs")
@common
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines.")
@click.option("-n", "--lines", type=click.IntRange(1), default=50, show_default=True)
def gateway_logs(context: Any, follow: bool, lines: int) -> Any:
    """The gateway's log, without secrets. Example: ibtui gateway logs -f"""
    from ibtui.service.commands import gateway as commands

    return commands.logs(context, follow=follow, lines=lines)


@app.command()
@common
@click.option("--user", metavar="NAME", help="User name; the profile's when not given.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--if-needed", is_flag=True, help="Do nothing when the session is ready.")
@click.option("--take-over", is_flag=True, help="Take the brokerage session from another program.")
@click.option(
    "--code-file", type=_PATH, metavar="FILE", help="The second factor's code comes into this file."
)
@click.option("--code-command", metavar="JSON", help="A program that prints the code, as a JSON list.")
@click.option("--reset-attempts", is_flag=True, help="Forget failed logins; says what that risks.")
@click.option("--yes", is_flag=True, help="Do not ask before --reset-attempts.")
def login(context: Any, reset_attempts: bool, yes: bool, **options: Any) -> Any:
    """Log in at the gateway. Example: pass show ibkr | ibtui login --user me --password-stdin"""
    from ibtui.service.commands import session

    if reset_attempts:
        return session.reset_attempts(context, options["user"], yes)
    return session.login(context, **options)


@app.command()
@common
@click.argument("what", type=click.Choice(["ready"]))
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, metavar="SECONDS")
def wait(context: Any, what: str, timeout: float) -> Any:
    """Wait for the session. Example: ibtui wait ready --timeout 120 && ibtui positions"""
    from ibtui.service.commands import session

    return session.wait_ready(context, timeout)


@app.command()
@common
def doctor(context: Any) -> Any:
    """Look at every link of the chain and name the first broken one. Example: ibtui doctor"""
    from ibtui.service.commands import doctor as commands

    return commands.examine(context)


@app.command()
@common
def logout(context: Any) -> Any:
    """End the brokerage session and the login. Example: ibtui logout"""
    from ibtui.service.commands import session

    return session.logout(context)


@app.command()
@common
def status(context: Any) -> Any:
    """Gateway, SSO and brokerage session, and the first broken link's fix. Example: ibtui status --json"""
    from ibtui.service.commands import session

    return session.status(context)


app.add_command(cli_ibkey.group(Group, common))
app.add_command(cli_oauth.group(Group, common))
app.add_command(cli_keep.group(Group, common))
app.add_command(cli_keep.supervise)
app.add_command(cli_serve.command(common))


def _pane(name: str, text: str, watchable: bool = True) -> None:
    def verb(context: Any, watch: bool = False) -> Any:
        from ibtui.service.commands import panes

        return panes.show(context, name, watch=watch)

    if watchable:
        verb = click.option("-w", "--watch", is_flag=True, help="Go on with changes.")(verb)
    app.command(name, help=f"{text} Example: ibtui {name}")(common(verb))


_pane("accounts", "Accounts of this login.", watchable=False)
_pane("positions", "Positions of all accounts.")
_pane("orders", "Today's orders.")
_pane("trades", "Today's fills.")
_pane("pnl", "P&L by account.")


@app.command()
@common
@click.argument("method", metavar="METHOD", type=_METHOD)
@click.argument("path")
@click.option("--param", "params", multiple=True, metavar="K=V", help="Query parameter, repeatable.")
@click.option("--data", metavar="JSON", help="Body; - reads standard input.")
def request(context: Any, **options: Any) -> Any:
    """Any REST call below /v1/api. Example: ibtui request GET /portfolio/accounts"""
    from ibtui.service.commands import raw

    return raw.request(context, **options)


@app.command()
@common
@click.argument("frames", nargs=-1, required=True)
@click.option("--count", type=click.IntRange(1), help="Stop after so many frames.")
@click.option("--seconds", type=click.FloatRange(0.1), help="Stop after so long.")
def ws(context: Any, **options: Any) -> Any:
    """Subscribe and print frames, one JSON object a line. Example: ibtui ws 'sor+{}' spl"""
    from ibtui.service.commands import raw

    return raw.ws(context, **options)


app.add_command(cli_config.group(Group, common, _outer))


@app.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> Any:
    """Print the completion script for a shell. Example: ibtui completion bash"""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"There is no completion for {shell}.", "Use bash, zsh or fish.")
    click.echo(kind(app, {}, "ibtui", "_IBTUI_COMPLETE").source())
    return 0


def main(args: list[str] | None = None) -> int:
    """Run one command; returns the exit status (DESIGN: section 2.2). Never a traceback."""
    words = sys.argv[1:] if args is None else args
    try:
        result = app.main(words, prog_name="ibtui", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - no traceback reaches a person
        return told(error, as_json="--json" in words)
    return result if isinstance(result, int) else 0


def told(error: BaseException, *, as_json: bool = False) -> int:
    """Say on standard error what ended a command; the exit status that goes with it."""
    if isinstance(error, click.ClickException):
        return _misspelt(error, as_json)
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return 130
    if isinstance(error, (ReaderGone, BrokenPipeError)):
        # Nothing more can be said to it, at the very end neither.
        _to_nowhere(sys.stdout)
        return 0
    if isinstance(error, IbtuiError):
        from ibtui.service import output

        output.error(error, as_json)
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        return _refused(error, as_json)
    return _unexpected(error, as_json)


def _misspelt(error: click.ClickException, as_json: bool) -> int:
    """Wrong words: the parser's own form on standard error, and the document that every error has."""
    error.show()
    code = 2 if isinstance(error, click.UsageError) else 1
    if as_json:
        what, fix = error.format_message(), ""
        where = error.ctx if isinstance(error, click.UsageError) else None
        if where is not None:
            fix = f"See: {where.command_path} --help"
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            what = "A command is missing."  # its message is the whole help
        _document(what, fix, code)
    return code


def _document(what: str, fix: str, code: int) -> None:
    """As `output.error` prints it, for what is no error of ours."""
    from ibtui.service import output

    output.dump({"error": what, "fix": fix, "exit": code})


def _to_nowhere(stream: Any) -> None:
    import os

    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        pass  # no real file behind it, so nothing is flushed to one at the end


def _refused(error: OSError, as_json: bool) -> int:
    """The system's own no (disk full, not ours to write): what and where, without a riddle."""
    from ibtui.service import output

    where = f" ({error.filename})" if error.filename else ""
    trouble = IbtuiError(f"{error.strerror}{where}.", "Mend that, or choose another place, and try again.")
    output.error(trouble, as_json)
    return trouble.exit_code


def _unexpected(error: BaseException, as_json: bool) -> int:
    import logging

    from ibtui import log, paths

    where = log.set_up(paths.log_dir())
    logging.getLogger("ibtui").error("unexpected", exc_info=error)
    what = f"something went wrong inside ibtui ({type(error).__name__})."
    fix = log.redact(str(error)) if where is None else f"Details are in {where}; please report them."
    click.echo(f"ibtui: {what}\n       {fix}", err=True)
    if as_json:
        _document(f"{what[0].upper()}{what[1:]}", fix, 1)
    return 1

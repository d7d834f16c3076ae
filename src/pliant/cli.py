"""The command line: `pliant atlas run|status|report`, `pliant lint` and `pliant doctor`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from pliant.atlas.errors import AtlasError, RunError

# Commands import what they need themselves: `pliant --help` must not wait for JAX.

SUCCESS, FAILURE, MISUSE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. The exit code is 0 on success, 1 where the work failed, 2 where the request was wrong."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except RunError as error:
        return _complain(error, FAILURE)
    except (AtlasError, OSError) as error:
        return _complain(error, MISUSE)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command resumes.", FAILURE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pliant", description="Differentiable simulation on JAX.")
    parser.add_argument("--version", action="version", version=f"pliant {metadata.version('pliant')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    doctor = commands.add_parser("doctor", help="say what is installed, and check one gradient against its truth")
    doctor.set_defaults(command=_doctor)
    _add_lint(commands.add_parser("lint", help="say where the derivative of a JAX function lies"))
    _add_atlas(commands.add_parser("atlas", help="measure every estimator on every dynamics against the truth"))
    return parser


def _add_lint(lint: argparse.ArgumentParser) -> None:
    lint.description = "The exit code is 0 where nothing was found but kinks away from the arguments, 1 otherwise."
    lint.add_argument("target", metavar="MODULE:FUNCTION")
    lint.add_argument("--args", nargs="*", default=[], metavar="NUMBER|LIST|FILE.npy", help="what it is called with")
    lint.add_argument("--argnums", type=int, nargs="+", default=[0], metavar="N", help="which of them are parameters")
    lint.add_argument(
        "--scale", type=float, default=0.1, help="how far to look, relative to each (default: %(default)s)"
    )
    form = lint.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for other programs")
    form.add_argument("--sarif", action="store_true", help="for code hosts")
    lint.set_defaults(command=_lint)


def _add_atlas(atlas: argparse.ArgumentParser) -> None:
    commands = atlas.add_subparsers(required=True, metavar="run|status|report")
    run = commands.add_parser("run", help="measure what is missing; an interrupted run resumes")
    run.add_argument("config", nargs="?", default="default", metavar="NAME|FILE.toml", help="default: %(default)s")
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results are kept")
    run.add_argument("--workers", type=_count, metavar="N", help="cells at once (default: one a core)")
    run.add_argument("--scheduler", metavar="ADDRESS", help="use the dask cluster at this address")
    run.set_defaults(command=_run)
    status = commands.add_parser("status", help="print the table")
    status.add_argument("folder", type=Path, metavar="DIR")
    form = status.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a list of cells for other programs")
    form.add_argument("--csv", action="store_true", help="a line a cell, for spreadsheets")
    status.set_defaults(command=_status)
    report = commands.add_parser("report", help="write DIR/report.html, one file that needs no network")
    report.add_argument("folder", type=Path, metavar="DIR")
    report.set_defaults(command=_report)


def _run(options: argparse.Namespace) -> int:
    from pliant.atlas import config, driver

    atlas = config.load(config.find(options.config))
    if options.scheduler is None:
        driver.run(atlas, options.out, workers=options.workers)
        return SUCCESS
    from pliant.atlas.scheduler import connected

    with connected(options.scheduler) as (executor, width):
        driver.run(atlas, options.out, executor=executor, workers=min(width, options.workers or width))
    return SUCCESS


def _status(options: argparse.Namespace) -> int:
    from pliant.atlas import status

    status.show(options.folder, as_json=options.json, as_csv=options.csv)
    return SUCCESS


def _report(options: argparse.Namespace) -> int:
    from pliant.atlas import report

    print(report.write(options.folder))
    return SUCCESS


def _lint(options: argparse.Namespace) -> int:
    from pliant.lint import _command

    try:
        report = _command.run(options.target, options.args, argnums=options.argnums, scale=options.scale)
    except ValueError as error:
        return _complain(error, MISUSE)
    print(report.to_json() if options.json else report.to_sarif() if options.sarif else report)
    return SUCCESS if report.ok else FAILURE


def _doctor(options: argparse.Namespace) -> int:
    from pliant.atlas import doctor

    return SUCCESS if doctor.examine() else FAILURE


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but it was {text!r}")
    return int(text)


def _complain(error: object, code: int) -> int:
    print(f"pliant: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

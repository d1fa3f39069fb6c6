"""`irkit completion bash|zsh|fish`: what completes irkit's commands and options, made from the parser."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

__all__ = ["register", "script"]

SHELLS = ("bash", "zsh", "fish")

_BASH = """_irkit() {{
    local path=irkit word words
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path $word" in
            {paths}) path="$path $word" ;;
        esac
    done
    case "$path" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
    # Where no word fits, a file name may.
    [ "${{#COMPREPLY[@]}}" -gt 0 ] || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o filenames -F _irkit irkit
"""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The completion script for a shell.

    Args:
        parser: irkit's own.
        shell: bash, zsh or fish.
    """
    commands = dict(_commands(parser, "irkit"))
    if shell == "fish":
        lines = []
        for path, words in commands.items():
            *given, _ = *path.split()[1:], ""
            seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in given) or "__fish_use_subcommand"
            lines.append(f"complete -c irkit -n '{seen}' -a '{' '.join(words)}'")
        return "\n".join(lines) + "\n"
    paths = "|".join(f'"{path}"' for path in commands if path != "irkit")
    cases = "\n".join(f'        "{path}") words="{" ".join(words)}" ;;' for path, words in commands.items())
    made = _BASH.format(paths=paths, cases=cases)
    return made if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{made}"


def _commands(parser: argparse.ArgumentParser, path: str) -> Iterator[tuple[str, list[str]]]:
    """Each command with the words that may follow it: commands, choices, options."""
    words, inner = [], []
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to list them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            words += list(action.choices)
            inner += list(action.choices.items())
        elif not action.option_strings:
            words += [str(choice) for choice in action.choices or ()]
        words += [option for option in action.option_strings if option.startswith("--")]
    yield path, words
    for name, command in inner:
        yield from _commands(command, f"{path} {name}")


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], parser: Callable[[], argparse.ArgumentParser]
) -> None:
    """Adds `irkit completion`.

    Args:
        commands: Where to.
        parser: Makes irkit's whole parser.
    """
    command = commands.add_parser(
        "completion",
        help="print what a shell needs to complete irkit's words",
        description="Prints a script that completes irkit's commands and options in bash, zsh or fish.",
        epilog='examples:\n  eval "$(irkit completion bash)"   # in ~/.bashrc\n'
        "  irkit completion fish > ~/.config/fish/completions/irkit.fish",
    )
    command.add_argument("shell", choices=SHELLS, help="the shell")
    command.add_argument("--json", action="store_true", help="print the words of each command as JSON")
    command.set_defaults(handler=lambda arguments: _run(arguments, parser()))


def _run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    import json

    if arguments.json:
        print(json.dumps(dict(_commands(parser, "irkit")), indent=1))
    else:
        print(script(parser, arguments.shell), end="")
    return 0

"""Pages of the site that are made when it is built: the command line from its parser, the shipped model's card from its file.

And where lines of a page may break beside and within code.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).parent.parent
CARD = "LDCTDenoiseLib/models/shipped/default.md"
CARD_PAGE = "model_card.md"
COMMANDS_PAGE = "command_line.md"
COMMANDS_MARK = "<!-- commands -->"
GROUPS = {"positional arguments": "arguments"}
"""Titles of argparse's groups that are said otherwise."""
CODE = re.compile(
    r"(?P<before>\(*)(?P<code>(?:<a [^>]*>)?<code[^>]*>(?P<text>.*?)</code>(?:</a>)?)(?P<after>[.,:;)?!]*)", re.DOTALL
)
SEAMS = re.compile(r"(?<=[/_,=(])(?=[A-Za-z{'])|(?<=\.)(?=\w{5})")
"""Where a name or path is long, it breaks before its next part."""
OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
ROLE = re.compile(r":[a-z]+:(?=<code)")


def on_files(files: Files, config: Any) -> Files:
    """Add the card."""
    files.append(File.generated(config, CARD_PAGE, abs_src_path=str(REPOSITORY / CARD)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put in the commands, and let links to the card on GitHub lead to its page."""
    card = posixpath.relpath(CARD_PAGE, posixpath.dirname(page.file.src_uri) or ".")
    markdown = re.sub(rf"https://github\.com/[\w/]+/{re.escape(CARD)}", card, markdown)
    if page.file.src_uri == CARD_PAGE:
        page.meta["hide"] = ["toc"]  # its tables are wide
    if page.file.src_uri == COMMANDS_PAGE:
        if COMMANDS_MARK not in markdown:
            raise ValueError(f"{COMMANDS_PAGE} has no place for the commands ({COMMANDS_MARK}).")
        markdown = markdown.replace(COMMANDS_MARK, "\n".join(describe_commands()))
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Keep brackets and points beside their code, and let long code break between its parts; blocks of code stay as they are."""
    parts = re.split(r"(<pre.*?</pre>)", html, flags=re.DOTALL)
    return "".join(part if part.startswith("<pre") else CODE.sub(_set_code, ROLE.sub("", part)) for part in parts)


def _set_code(found: re.Match[str]) -> str:
    parts = re.split("(<[^>]*>)", found["text"])
    text = "".join(part if part.startswith("<") else _with_seams(part) for part in parts)
    code = found["code"].replace(f">{found['text']}</code>", f">{text}</code>")
    return f'<span class="whole">{found["before"]}{code}{found["after"]}</span>' if found["before"] or found["after"] else code


def _with_seams(code: str) -> str:
    return OPTION.sub(r'<span class="whole">\g<0></span>', SEAMS.sub("<wbr>", code))


def describe_commands() -> Iterator[str]:
    """Every command in Markdown: what it does, how it is called, each argument and option."""
    sys.path.insert(0, str(REPOSITORY))
    try:
        from LDCTDenoiseLib.commands.command_line import all_parsers, build_parser
    finally:
        sys.path.remove(str(REPOSITORY))
    for parser in all_parsers(build_parser()):
        yield from describe(parser)


def describe(parser: argparse.ArgumentParser) -> Iterator[str]:
    """One command in Markdown."""
    yield from (f"## {parser.prog.partition(' ')[2]}", "")
    yield from (_plain(parser.description or ""), "", *_example(parser.epilog or ""), "")
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help is not argparse.SUPPRESS and action.dest != "help"]
        if actions:
            title = GROUPS.get(group.title or "", group.title or "")
            yield from (f"**{title[:1].upper()}{title[1:]}**", "")
            for action in actions:
                yield from _describe_action(parser, action)
            yield ""


def _describe_action(parser: argparse.ArgumentParser, action: argparse.Action) -> Iterator[str]:
    formatter = parser._get_formatter()
    if isinstance(action, argparse._SubParsersAction):
        for choice in action._choices_actions:
            yield f"- `{choice.dest}`: {_plain(choice.help or '')}"
        return
    text = _plain(formatter._expand_help(action)) if action.help else ""
    yield f"- `{formatter._format_action_invocation(action)}`" + (f": {text}" if text else "")


def _example(text: str) -> Iterator[str]:
    """The epilog, its example as code."""
    before, found, command = text.partition("Example: ")
    yield from (_plain(before), "")
    if found:
        yield from ("```text", command, "```")


def _plain(text: str) -> str:
    """Text whose signs mean nothing in Markdown."""
    return re.sub(r"([\\*_<>\[\]|`])", r"\\\1", text)

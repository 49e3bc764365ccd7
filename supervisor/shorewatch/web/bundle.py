"""The page's modules as one script: a slow line waits for one request, not for eleven. Pure.

Each module becomes a function that is called once, in the order in which they need each other; what
it exports is what it returns. Nothing is renamed or made smaller: the script reads as the files do.

It knows the forms that our own files have, one a line, and stops at any other:

    import { a, b as c } from "./name.js";
    export const | let | function | async function name
"""

import re
from collections.abc import Iterator, Mapping

_IMPORT = re.compile(r'import \{ ([\w$, ]+) \} from "\./(\w+)\.js";')
_EXPORT = re.compile(r"export ((?:async )?(?:function|const) ([\w$]+).*)")


def bundled(files: Mapping[str, str], entry: str) -> str:
    """The module `entry` of `files` (name to text, without .js) with all that it imports."""
    return "\n".join(f"const $_{name} = (() => {{\n{_body(files[name])}}})();" for name in
                     _ordered(files, entry, [])) + "\n"  # fmt: skip


def _ordered(files: Mapping[str, str], name: str, found: list[str]) -> list[str]:
    """What a module needs, then itself, each once."""
    for line in files[name].splitlines():
        match = _IMPORT.fullmatch(line)
        if match is not None and match[2] not in found:
            _ordered(files, match[2], found)
    found.append(name)
    return found


def _body(text: str) -> str:
    exported: list[str] = []
    lines = list(_lines(text, exported))
    return "\n".join([*lines, f"return {{ {', '.join(exported)} }};", ""])


def _lines(text: str, exported: list[str]) -> Iterator[str]:
    for line in text.splitlines():
        if (match := _IMPORT.fullmatch(line)) is not None:
            yield f"const {{ {match[1].replace(' as ', ': ')} }} = $_{match[2]};"
        elif (match := _EXPORT.fullmatch(line)) is not None:
            exported.append(match[2])
            yield match[1]
        else:
            assert not line.startswith(("import", "export")), f"another form of module: {line!r}"
            yield line

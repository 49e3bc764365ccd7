"""What a person types into a shell, and what comes of it."""

import asyncio
import sys


async def typed(*arguments: object) -> tuple[int, str, str]:
    """Run `shorewatch` with these; its exit code, and what it says, blanks and line ends as one."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shorewatch", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, " ".join(out.decode().split()), " ".join(err.decode().split())

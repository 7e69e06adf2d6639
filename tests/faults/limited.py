"""Large inputs under a limit of processor time: python -m faults.limited SECONDS PART NAME...

In a process of its own, since the kernel ends one that needs more.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from faults.hostile_inputs import shapes
from faults.parser import Parser, check
from faults.parsers import BY_NAME
from faults.trials import SEED


def large(parser: Parser, seconds: int, part: int) -> None:
    """Feed the shapes at a part of the full size; the kernel ends what takes too long.

    `seconds`: of processor time for each; almost all need a few hundredths of one.  Prints the name
    of each shape before it is read, so that the last line names the one that took too long.
    `part`: with more than 1 also only some of the shapes; of a slow parser each eighth anyway.
    """
    folder = Path(tempfile.mkdtemp())
    chosen = list(shapes(parser))
    if part > 1:
        chosen = chosen[::60] + chosen[-12:]
    elif parser.slow:
        chosen = chosen[SEED % 8 :: 8]
    for name, shape in chosen:
        print(f"{parser.name}: {name}", flush=True)
        content = shape(parser.size // part)
        used = int(time.process_time())
        resource.setrlimit(
            resource.RLIMIT_CPU, (used + seconds, resource.RLIM_INFINITY)
        )
        check(parser, folder, content)
    print(f"{parser.name} read {len(chosen)}", flush=True)


if __name__ == "__main__":
    for parser_name in sys.argv[3:]:
        large(BY_NAME[parser_name], int(sys.argv[1]), int(sys.argv[2]))

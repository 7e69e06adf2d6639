"""`make demo`: run the story; with --keep only start both servers, until Ctrl-C."""

import sys

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ends


def main() -> int:
    """The exit code: 0 if the demo ended as it should, 130 after Ctrl-C."""
    try:
        # The import takes most of the time before the first output: Ctrl-C must work in it too.
        from .story import keep_running, show

        if "--keep" not in sys.argv[1:]:
            return show(print)
        keep_running(print)
        return 0
    except KeyboardInterrupt:
        print("The demo was interrupted.", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

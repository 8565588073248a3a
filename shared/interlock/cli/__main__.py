"""`python -m interlock.cli`."""

from interlock.cli.main import run

if __name__ == "__main__":
    run()

"""Run the command line: ``python -m theory``."""

from theory.cli.main import main

if __name__ == "__main__":
    main()

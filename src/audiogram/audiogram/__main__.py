"""`python -m audiogram` is the command `audiogram`."""

from audiogram.cli import main

if __name__ == "__main__":
    main()

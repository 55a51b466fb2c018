"""`python -m nexus_core` is `nexus`."""

from nexus_core.cli import main

if __name__ == "__main__":
    main()

"""``python -m neuroprune``."""

from neuroprune.cli import main

if __name__ == "__main__":
    main()

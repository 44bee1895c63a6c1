"""`python -m imglab` is the same program as `imglab`."""

from imglab.cli.app import program

if __name__ == "__main__":
    program()

"""`python -m medssm`: the command line, where no script `medssm` is on the path."""

from medssm.cli.main import main

if __name__ == "__main__":
    main()

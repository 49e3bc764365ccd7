"""`python -m shorewatch`: the same as the command `shorewatch`."""

from shorewatch.cli import main

main()

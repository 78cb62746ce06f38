"""``python -m ome.cli``"""

from ome.cli.entry import main

main()

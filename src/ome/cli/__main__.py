"""``python -m ome.cli``"""

from ome.cli.main import main

main()

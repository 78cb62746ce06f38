"""``python -m ome.standalone.gateway --api-socket PATH --listen 127.0.0.1:PORT``"""

import sys

from ome.standalone.gateway import lean

if __name__ == "__main__":
    lean.forbid_tls()
    from ome.standalone.gateway.program import main

    sys.exit(main())

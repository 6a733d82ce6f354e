"""`python -m avalanche_gift`, which launchers of several processes take: `torchrun -m avalanche_gift run ...`."""

import sys

from avalanche_gift.cli import main

if __name__ == "__main__":
    sys.exit(main())

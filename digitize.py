"""Read pictures, PDFs and DICOM files of ECGs from a checkout: ``python digitize.py INPUT ... -o OUT``.

The same as ``ecgpage digitize`` of an installed package.
"""

import sys

from ecgpage.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["digitize", *sys.argv[1:]]))

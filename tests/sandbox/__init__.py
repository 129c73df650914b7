"""A local AWS and GitHub in which the built function is deployed and tried. README.md says what they model."""

import sys
from pathlib import Path

# cfn/deploy, whose parts these commands share, lies beside this folder's parent.
sys.path.append(str(Path(__file__).resolve().parents[2]))

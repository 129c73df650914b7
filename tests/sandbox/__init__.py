"""A local AWS and GitHub in which the built function is deployed and tried. README.md says what they model."""

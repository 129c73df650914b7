# Replaced by the script itself.
exit 1

#!/bin/bash
# Stands in for config.sh of actions/runner: takes the token from its environment and leaves a configured runner.
tr '\0' '\n' <"/proc/$$/environ" >"$SEEN/config.environment"
tr '\0' '\n' <"/proc/$$/cmdline" >"$SEEN/config.arguments"
if [[ ${PAUSE_CONFIG:-} ]]; then
  touch "$SEEN/config.paused"
  sleep 20
fi
if [[ ${CONFIG_EXIT_CODE:-0} != 0 ]]; then
  echo "Could not find any self-hosted runner group named \"builds\"."
  exit "$CONFIG_EXIT_CODE"
fi
[[ $RUNNER_ALLOW_RUNASROOT && $ACTIONS_RUNNER_INPUT_TOKEN ]] || exit 1
umask 077
mkdir _diag
for file in .credentials .credentials_rsaparams .runner .env .path svc.sh; do
  echo '{}' >"$file"
done
echo "√ Runner successfully added"

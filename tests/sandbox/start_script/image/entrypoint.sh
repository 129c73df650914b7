#!/bin/bash
# Behaves like the entry point of myoung34/github-runner where it finds a registration:
# https://github.com/myoung34/docker-github-actions-runner/blob/master/entrypoint.sh
# It has no `set` line, reads variables that may be unset, and goes on after a command that failed.
export RUNNER_ALLOW_RUNASROOT=1
export -n ACCESS_TOKEN RUNNER_TOKEN APP_ID APP_PRIVATE_KEY
printenv >"$SEEN/entrypoint.environment"
printf '%s\n' "$-" "$(shopt -p inherit_errexit)" "$(set -o | grep pipefail)" "$@" >"$SEEN/entrypoint.shell"

name=${RUNNER_NAME:-${RUNNER_NAME_PREFIX:-github-runner}-$RANDOM}
workdir=${RUNNER_WORKDIR:-${RUNNER_WORKDIR_ROOT:-/_work}/$name}
printf '%s\n' "$name" "$workdir" >"$SEEN/entrypoint.names"
[[ -z $ORG_NAME ]] && (
  echo "ORG_NAME required for org runners"
  exit 1
)

copies=$CONFIGURED_ACTIONS_RUNNER_FILES_DIR
if [[ -z $copies ]]; then
  echo "Runner reusage is disabled"
  exit 3
fi
[[ -d $copies ]] && cp -p -r "$copies/." "$RUNNER_HOME"
if [[ ! -f $RUNNER_HOME/.runner ]]; then
  echo "The entry point would configure a runner."
  exit 4
fi
echo "The runner has already been configured"
if [[ ${DISABLE_AUTOMATIC_DEREGISTRATION:-false} == false ]]; then
  echo "DISABLE_AUTOMATIC_DEREGISTRATION should be set to true"
  exit 1
fi
cp -p -r "$RUNNER_HOME/_diag" "$RUNNER_HOME/svc.sh" "$RUNNER_HOME"/.[^.]* "$copies"

as_root=${RUN_AS_ROOT:=true}
prefix=
[[ $as_root == true ]] || prefix=sudo
[[ ${START_DOCKER_SERVICE:=false} == true ]] && $prefix service docker start

if [[ ${PAUSE_ENTRYPOINT:-} ]]; then
  touch "$SEEN/entrypoint.paused"
  sleep 20
fi

if [[ $as_root == true ]]; then
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  else
    echo "ERROR: RUN_AS_ROOT env var is set to true but the user has been overridden"
    exit 1
  fi
elif [[ $(id -u) -eq 0 ]]; then
  chown -R runner "$copies"
  chown runner "$RUNNER_HOME" "$workdir"
  find "$RUNNER_HOME" -mindepth 1 -maxdepth 1 ! -name bin ! -name externals -exec chown -R runner {} + 2>/dev/null || true
  gosu runner "$@"
else
  "$@"
fi

#!/bin/bash
# Registers the runner of an ECS task, without a credential in the container, and starts the image's entry point.
#
# A task definition runs this text as `dumb-init -- bash -c TEXT start-runner COMMAND...`. The function registers; the
# task asks it through a DynamoDB table. The task's role may put and delete one item there, whose key is the user id of
# the role's session. The answer is a just-in-time configuration, or a registration token for config.sh.
#
# It must never print a secret, pass one as an argument, or leave one in the shell or the environment that the listener
# starts from. So all that handles an answer runs in the subshell of `$(register)`, which ends before that.
set -euo pipefail
shopt -s inherit_errexit

# The image's paths, and times. Only tests set others.
: "${RUNNER_HOME:=/actions-runner}" "${RUNNER_ENTRYPOINT:=/entrypoint.sh}"
: "${REGISTRATION_TIMEOUT_SECS:=600}" "${REGISTRATION_ANSWER_SECS:=30}" "${REGISTRATION_RETRY_SECS:=60}"
: "${REGISTRATION_POLL_SECS:=5}" "${REGISTRATION_IAM_SECS:=60}"

log() { printf '%s: %s\n' "$0" "$*" >&2; }

fail() {
  log "$*"
  exit 1
}

# Logs why there is no registration yet, unless that was the last line already.
note() {
  [[ $* == "$problem" ]] || log "$*"
  problem=$*
}

# Sleeps for half of the seconds up to all of them, so that containers that start at once do not call at once.
pause() {
  local millis=$(($1 * 500 + RANDOM % ($1 * 500 + 1)))
  sleep "$(printf '%d.%03d' $((millis / 1000)) $((millis % 1000)))"
}

# Calls AWS. $output is the last line of the result, since warnings come first, or the whole error.
call() {
  local options=(--region "$region" --output text --cli-connect-timeout 5 --cli-read-timeout 20)
  if output=$(LC_ALL=C.UTF-8 aws "${options[@]}" "$@" 2>&1); then
    output=${output##*$'\n'}
  else
    output=${output//$'\n'/ }
    return 1
  fi
}

note_error() {
  local error="($output)"
  case $output in
    *AccessDenied*)
      note_or_fail "TaskRoleArn: the role may not write to the table $REGISTRATIONS_TABLE. Attach the policy that is" \
        "the output RunnerPolicyArn of the provider's stack, or set RegisterBy: Container. $error"
      ;;
    *ResourceNotFound*)
      note_or_fail "RegisterBy: there is no table $REGISTRATIONS_TABLE in $region. Update the provider's stack," \
        "or set RegisterBy: Container. $error"
      ;;
    *redentials* | *ExpiredToken* | *InvalidClientTokenId* | *UnrecognizedClient*)
      note "TaskRoleArn: the ECS agent gives the task no valid credentials. Check that the role exists and that" \
        "ecs-tasks.amazonaws.com may assume it. $error"
      ;;
    *"endpoint URL"* | *"proxy URL"* | *"onnection "*)
      note "Subnets: the task cannot reach AWS. Give it a route to STS and DynamoDB in $region: a NAT gateway," \
        "or VPC endpoints for both. $error"
      ;;
    *) note "AWS: a call failed, and the task repeats it. Correct what the error says if it stays. $error" ;;
  esac
}

# IAM is eventually consistent: a new role's permissions and tables are missed for seconds. After that, they stay so.
note_or_fail() {
  ((SECONDS < REGISTRATION_IAM_SECS)) || fail "$*"
  note "$*"
}

check_container() {
  local tool missing=
  for tool in aws curl jq; do
    type -P "$tool" >/dev/null || missing+=" $tool"
  done
  [[ -z $missing ]] ||
    fail "Image: it lacks$missing. Add what is missing, or set RegisterBy: Container."
  [[ -w $RUNNER_HOME ]] ||
    fail "ReadonlyRootFilesystem: the task cannot write to $RUNNER_HOME, where a runner keeps its registration." \
      "Set it to false, and run the image as a user who may write there."
  [[ -n ${AWS_CONTAINER_CREDENTIALS_RELATIVE_URI:-}${AWS_CONTAINER_CREDENTIALS_FULL_URI:-} ]] ||
    fail "TaskRoleArn: the task has no role. Name one that has the policy that is the output RunnerPolicyArn of" \
      "the provider's stack."
}

# Credentials for jobs may be in the environment, and come first; the instance's role is the last resort:
# https://docs.aws.amazon.com/cli/latest/userguide/cli-chap-configure.html#configure-precedence
use_task_role() {
  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE
  unset AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
  # VPC endpoints know the regional name of STS only, and version 1 of the AWS CLI may use the global one:
  # https://docs.aws.amazon.com/sdkref/latest/guide/feature-sts-regionalized-endpoints.html
  export AWS_STS_REGIONAL_ENDPOINTS=regional AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=3
}

identify() {
  until task=$(curl -fs --noproxy '*' --max-time 5 "${ECS_CONTAINER_METADATA_URI_V4:-}/task" | jq -er .TaskARN); do
    note "ECS_CONTAINER_METADATA_URI_V4: the ECS agent does not say which task this is. Use an AMI with agent 1.39.0" \
      "or later, and let the container reach 169.254.170.2."
    pause_or_fail
  done
  IFS=: read -r _ _ _ region _ <<<"$task"
  until call sts get-caller-identity --query UserId; do
    note_error
    pause_or_fail
  done
  key=$(jq -nc --arg key "$output" '{key: {S: $key}}')
}

# Puts the request. Each attempt differs, since an equal item puts no record into the table's stream.
ask() {
  local item
  item=$(jq -c --arg task "$task" --arg attempt "$1" --arg architecture "$(uname -m)" \
    --arg ttl $((EPOCHSECONDS + 3600)) '. + {format: {N: "1"}, task: {S: $task}, attempt: {N: $attempt},
      architecture: {S: $architecture}, ttl: {N: $ttl}}' <<<"$key")
  asked=true
  call dynamodb put-item --table-name "$REGISTRATIONS_TABLE" --item "$item" \
    --condition-expression 'attribute_not_exists(#answer)' --expression-attribute-names '{"#answer": "answer"}' ||
    # An earlier attempt was answered.
    [[ $output == *ConditionalCheckFailed* ]]
}

# Reads the answer and deletes it, in one call.
take() {
  local end=$((SECONDS + REGISTRATION_ANSWER_SECS)) secs=1
  while ((SECONDS < end)); do
    pause "$secs"
    if call dynamodb delete-item --table-name "$REGISTRATIONS_TABLE" --key "$key" --return-values ALL_OLD \
      --condition-expression 'attribute_exists(#answer)' --expression-attribute-names '{"#answer": "answer"}' \
      --query Attributes.answer.S; then
      asked=
      answer=$output
      return
    fi
    [[ $output == *ConditionalCheckFailed* ]] || note_error
    ((secs >= REGISTRATION_POLL_SECS)) || ((secs += 1))
  done
  note "RegisterBy: the function has not answered. Search its log for the task's id, and check that its trigger on" \
    "the stream of the table $REGISTRATIONS_TABLE is enabled."
  return 1
}

# Deletes the request, so that nothing is registered for a container that has ended.
withdraw() {
  [[ -n $asked ]] || return 0
  AWS_MAX_ATTEMPTS=1 call dynamodb delete-item --table-name "$REGISTRATIONS_TABLE" --key "$key" || true
}

# A part of the answer. It passes through a pipe: an argument would show it, and a here-string may be a file.
part() { printf '%s' "$answer" | jq -er "$1"; }

# Does what the answer says, and ends once the runner is registered.
use_answer() {
  local kind message
  kind=$(part .kind) || kind=
  case $kind in
    jit | token)
      mkdir -p "$(part .workdir)" ||
        fail "RunnerWorkdir: the task cannot create $(part .workdir). Name a folder that it may write to."
      "register_by_$kind"
      part '.name, .workdir'
      exit
      ;;
    refused)
      message=$(part .message)
      [[ $(part .retry) == true ]] || fail "$message"
      note "$message"
      pause "$REGISTRATION_RETRY_SECS"
      ;;
    *)
      fail "RegisterBy: the function's answer is of the kind '$kind', which this task does not know. Update the" \
        "pool's stack, so that its tasks get the start script of the function's version."
      ;;
  esac
}

register_by_jit() {
  local file
  # `.runner` comes last: with it, a runner counts as configured.
  for file in .credentials .credentials_rsaparams .runner; do
    (umask 077 && part ".files[\"$file\"]" | base64 -d >"$file") ||
      fail "RegisterBy: $file of the function's answer cannot be stored in $RUNNER_HOME. Check the instance's disk."
  done
  # The entry point copies what config.sh creates, and would complain.
  mkdir -p _diag
  : >>svc.sh
}

register_by_token() {
  local arguments token code=0
  mapfile -t arguments < <(part '["--url", .url, "--name", .name, "--work", .workdir, "--labels", .labels]
    + if .group then ["--runnergroup", .group] else [] end + if .ephemeral then ["--ephemeral"] else [] end
    + if .disable_update then ["--disableupdate"] else [] end
    + if .no_default_labels then ["--no-default-labels"] else [] end | .[]')
  token=$(part .token)
  # The listener's configuration reads the variable and removes it.
  ACTIONS_RUNNER_INPUT_TOKEN=$token RUNNER_ALLOW_RUNASROOT=1 ./config.sh --unattended --replace "${arguments[@]}" >&2 ||
    code=$?
  ((code == 0)) ||
    fail "config.sh: it failed with exit code $code, so the runner is not registered. Correct what the lines above" \
      "say; the next task asks for a registration of its own."
}

pause_or_fail() {
  ((SECONDS < REGISTRATION_TIMEOUT_SECS)) || fail_late
  pause "$REGISTRATION_POLL_SECS"
}

fail_late() {
  fail "RegisterBy: no registration in $REGISTRATION_TIMEOUT_SECS s, so the task ends. The last problem: $problem"
}

# Prints the runner's name and its work folder.
register() {
  set +x # A SHELLOPTS in the environment would trace secrets.
  # Not local: the EXIT trap may run when the function's variables are gone.
  problem='' asked=''
  trap 'exit 143' TERM INT QUIT
  trap withdraw EXIT
  check_container
  use_task_role
  cd "$RUNNER_HOME"
  identify
  for ((attempt = 1; SECONDS < REGISTRATION_TIMEOUT_SECS; attempt++)); do
    if ! ask "$attempt"; then
      note_error
      pause "$REGISTRATION_POLL_SECS"
    elif take; then
      use_answer
    fi
  done
  fail_late
}

# dumb-init signals the whole group. The shell outlives its foreground child, so that the listener gets its time. The
# entry point sets no trap where it finds a registration; with this one, no listener starts after a signal.
trap 'exit $?' TERM INT QUIT
registration=$(register)
export RUNNER_NAME=${registration%%$'\n'*} RUNNER_WORKDIR=${registration#*$'\n'}
log "Registered as $RUNNER_NAME."

# The entry point uses the registration that it finds, and copies it to a folder, which here nothing reads.
CONFIGURED_ACTIONS_RUNNER_FILES_DIR=$(mktemp -d)
export CONFIGURED_ACTIONS_RUNNER_FILES_DIR DISABLE_AUTOMATIC_DEREGISTRATION=true
set +euo pipefail
shopt -u inherit_errexit
# shellcheck source=/dev/null
. "$RUNNER_ENTRYPOINT"

# shellcheck shell=bash
# What the batch scripts have in common; each sources it. Not to be run.

folder=outputs/slurm/$SLURM_JOB_ID
mkdir -p "$folder"

# A new secret of 256 bits. It goes to the nodes through srun's environment: no command line or log holds it.
secret() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# check_key VARIABLE: ends the job where no HTTP header takes the variable's key. The key is not shown.
check_key() {
    local LC_ALL=C key=${!1}
    while [[ $key == *[[:space:]] ]]; do key=${key%?}; done
    while [[ $key == [[:space:]]* ]]; do key=${key#?}; done
    if [[ $key == *[!\ -~]* ]]; then
        echo "the variable $1 holds characters that an HTTP header does not take; a key is one line of plain ASCII" >&2
        exit 2
    fi
}

# step FIRST COUNT COMMAND…: runs the command once on each of COUNT nodes of the job, from the one numbered FIRST; in place
# of the shell that calls it, so that signals reach it.
step() {
    local first=$1 count=$2
    shift 2
    # A rank that fails must not end the others: the head tells each of them how the run ended.
    exec srun --relative="$first" --nodes="$count" --ntasks="$count" --ntasks-per-node=1 --kill-on-bad-exit=0 --wait=0 \
        --cpu-bind=none "$@"
}

# train FIRST COUNT LAUNCHER [key=value …]: trains on these nodes, and sets `code` to how the run ended. When time is nearly up
# (USR1), the step under way is finished and saved. A run that is not finished (3) is put into the queue again.
train() {
    local run exit_code_file=$folder/exit_code
    rm -f "$exit_code_file"
    RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(secret)}
    export RAY_AUTH_TOKEN
    EXIT_CODE_FILE=$PWD/$exit_code_file step "$1" "$2" bash "${@:3}" &
    run=$!
    trap 'kill -USR1 "$run"' USR1
    while :; do
        code=0
        wait "$run" || code=$?
        kill -0 "$run" 2>/dev/null || break
    done
    # A lost node's own exit code says nothing about the run.
    if [ -s "$exit_code_file" ]; then code=$(<"$exit_code_file"); fi
    if [ "$code" = 3 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_RESTARTS:-20}" ]; then
        echo "not finished: job $SLURM_JOB_ID goes into the queue again" >&2
        # That ends this script: were it to end by itself first, the job might count as failed. Slurm may be too busy at first.
        for _ in {1..30}; do
            if scontrol requeue "$SLURM_JOB_ID"; then sleep 300; else sleep 10; fi
        done
    fi
}

# serve FIRST COUNT SCRIPT FOLDER: serves the reward model on these nodes; each keeps a file of its servers in FOLDER.
serve() {
    # Judges refuse a folder that others can write, whatever the umask.
    (umask 022 && mkdir -p "$4")
    # shellcheck disable=SC2016  # the node's own name
    step "$1" "$2" bash -c 'ENDPOINTS_FILE=$1/$SLURMD_NODENAME.txt LOG_DIR=${LOG_DIR:-outputs/serve}/$SLURMD_NODENAME exec bash "$0"' \
        "$3" "$4"
}

# shellcheck shell=bash
# What all recipes share: settings, the share of an array task, and a clean stop before the time limit.
# A recipe finds this file in the folder that it was submitted from (a job's $0 is a copy elsewhere).

set -euo pipefail
asked="" # whether Slurm has asked to stop
trap 'asked=yes' USR1

complain() {
    printf '%s: %s\n' "${SLURM_JOB_NAME:-recipe}" "$1" >&2
    exit "${2:-2}"
}

CLUSTER_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[[ -f $CLUSTER_DIR/.env.local ]] ||
    complain "no $CLUSTER_DIR/.env.local. Copy .env.template to it and fill it in; README.md says how."
set -a
# shellcheck disable=SC1091
source "$CLUSTER_DIR/.env.local"
set +a
: "${ACTIVATE:?is empty in .env.local; it makes whisperprobe a command, e.g. source .venv/bin/activate}"
set +eu # virtual environments and modules are seldom written for it
eval "$ACTIVATE"
set -eu
command -v whisperprobe >/dev/null ||
    complain "no command whisperprobe on $(hostname -s) after ACTIVATE of $CLUSTER_DIR/.env.local."

cores=${SLURM_CPUS_PER_TASK:-1}
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}}
job=${job:-${SLURM_JOB_ID:?is not set: start this with sbatch}}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$cores} PYTHONUNBUFFERED=1

# shard: the words `--shard I/N` of an array task, nothing otherwise. N is the array's size, or SHARDS where only some
# of the tasks are submitted (again).
shard=()
if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
    [[ -n ${SHARDS:-} || ${SLURM_ARRAY_TASK_COUNT:-0} -eq $((SLURM_ARRAY_TASK_MAX + 1)) ]] ||
        complain "an array counts its tasks from 0: --array=0-7 for eight. For some tasks of a larger one set SHARDS."
    shard=(--shard "$SLURM_ARRAY_TASK_ID/${SHARDS:-$((SLURM_ARRAY_TASK_MAX + 1))}")
fi

# tell_child: how the running command is told to stop. Recipes with srun tell all processes of the step.
tell_child() { kill -USR1 "$child"; }
tell_steps() { scancel --signal=USR1 "$job"; }

# stoppable COMMAND...: runs it. At SIGUSR1, which Slurm sends before the time limit (--signal=B:USR1@SECONDS), the
# command is asked to stop, and the job requeues itself once that is done: started again it goes on where it stopped.
# One that fails meanwhile, exit code not 75, is not requeued: it would fail again.
stoppable() {
    local tell=tell_child status=0
    if [[ $1 == srun ]]; then tell=tell_steps; fi
    printf '== %s  %s on %s%s\n== ' "$(date '+%F %T')" "$job" "$(hostname -s)" \
        "${SLURM_RESTART_COUNT:+, start $((SLURM_RESTART_COUNT + 1))}"
    printf '%q ' "$@"
    echo
    (
        trap '' USR1 # ignored until the program listens: launchers and imports must not die of it
        exec "$@"
    ) &
    child=$!
    wait "$child" || status=$?
    while [[ -n $asked ]] && kill -0 "$child" 2>/dev/null; do
        "$tell" || true # again and again: one that came while the program was starting is lost
        sleep "${TELL_EVERY:-5}"
    done
    if [[ -n $asked ]]; then
        status=0
        wait "$child" || status=$?
    fi
    if [[ $status -ne 0 && -e ${WHISPERPROBE_STOPPED:-} ]]; then # torchrun says 1 whatever its processes say
        rm -f "$WHISPERPROBE_STOPPED"
        status=75
    fi
    if [[ -n $asked && $status -eq 75 ]]; then
        [[ ${SLURM_RESTART_COUNT:-0} -lt ${MAX_REQUEUES:-100} ]] || complain "requeued $SLURM_RESTART_COUNT times." 75
        echo "== stopped before the time limit; $job goes back to the queue and will go on from here"
        scontrol requeue "$job"
        exit 75
    fi
    [[ $status -eq 0 ]] || failed "$status"
}

failed() {
    local share=${shard[1]:-}
    echo "== $job failed with exit code $1${share:+: task $SLURM_ARRAY_TASK_ID, share $share of the parts}" >&2
    if [[ $1 -eq 137 ]]; then echo "== killed: most likely it needs more memory, sbatch --mem=..." >&2; fi
    echo "== what is written stays; \`whisperprobe submit STUDY.toml --status\` names the parts, --resume does them" >&2
    exit "$1"
}

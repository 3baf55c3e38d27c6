#!/usr/bin/env bash
# Probes one list of recorded words, such as MALD, with several models one after another, heard unmasked as in the
# original study; --listening CONDITION has all of them hear it through a condition instead.
#
# Needs:  WORDS, a folder of recordings or a corpus; model folders or names; .env.local
# Writes: RESULTS_DIR/mald/MODEL (unmasked) or RESULTS_DIR/mald-CONDITION/MODEL, and the logs of the jobs here
#
#     ./run_mald.sh /data/mald /results/models/normal /results/models/lfloss /results/models/hfloss
#     ./run_mald.sh --listening hfloss /data/mald base=openai/whisper-large-v3 hfloss=/results/models/hfloss
#     TASKS=16 ./run_mald.sh /data/mald MODEL... -- --top-k 100 --text-pattern '(?P<text>.+)'
#
# A model's results are named by its last folder, or NAME=MODEL. Each model's job begins when the one before has ended,
# well or not; started again, finished parts are not redone. What follows -- goes to `whisperprobe probe`.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
    echo "run_mald.sh: $1" >&2
    exit 2
}

[[ -f .env.local ]] || fail "no $PWD/.env.local. Copy .env.template to it and fill it in."
set -a
# shellcheck disable=SC1091
source .env.local
set +a
command -v sbatch >/dev/null || fail "there is no sbatch here; run it on the cluster's login node."

listening=""
if [[ ${1:-} == --listening ]]; then
    [[ $# -ge 2 ]] || fail "--listening needs the name of a condition: normal, lfloss or hfloss."
    listening=$2
    shift 2
fi
[[ $# -ge 2 && $1 != -* ]] || fail "give the words' folder and at least one model: ./run_mald.sh [--listening C] WORDS MODEL..."
words=$1
shift
[[ -e $words ]] || fail "there is no $words."
models=()
while [[ $# -gt 0 && $1 != -- ]]; do
    models+=("$1")
    shift
done
if [[ $# -gt 0 ]]; then shift; fi

flags=()
for name in account partition qos; do
    variable=SBATCH_${name^^}
    if [[ -n ${!variable:-} ]]; then flags+=("--$name=${!variable}"); fi
done
last=$((${TASKS:-4} - 1))
previous=""
for model in "${models[@]}"; do
    label=${model%%=*}
    if [[ $model != *=* ]]; then label=$(basename "$model"); fi
    out=$RESULTS_DIR/mald${listening:+-$listening}/$label
    job=$(sbatch --parsable "${flags[@]}" --job-name="mald.$label" --array="0-$last" \
        ${previous:+--dependency=afterany:$previous} \
        probe.sbatch "$words" --model "${model#*=}" --out "$out" --splits train \
        ${listening:+--condition "$listening"} "$@")
    previous=${job%%;*}
    echo "mald.$label: job $previous, $((last + 1)) tasks, written to $out"
done

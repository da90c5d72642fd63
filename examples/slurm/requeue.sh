#!/usr/bin/env bash
# requeue.sh COMMAND...: runs it; when SLURM says that time is nearly over, or takes the node away,
# has it write a checkpoint and puts the job into the queue again, which goes on from there.
set -uo pipefail

stopping=
"$@" &
command=$!
# sslbench, torchrun and srun all pass SIGTERM on to what trains; the signal of --signal need not reach them.
trap 'told=yes; stopping=yes; kill -TERM "$command" 2>/dev/null' USR1 TERM

while told=; wait "$command"; code=$?; [ -n "$told" ]; do
    :  # a signal ends `wait`, not the command
done

if [ -n "$stopping" ] && [ "$code" -ne 0 ]; then
    echo "job $SLURM_JOB_ID: stopped with a checkpoint; queued again"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"

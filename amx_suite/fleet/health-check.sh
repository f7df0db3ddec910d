#!/bin/sh
# For Slurm's HealthCheckProgram: drains this node, with the reason, where AMX is not usable.
#
#   health-check.sh [COMMAND]     COMMAND is the suite's, by default `amx-suite` on PATH
#
# Exit codes: 0 usable; 3 not usable, and the node is drained; 4 not known, and the node stays as it
# is. It takes 10 seconds at most, never drains a node twice, and never resumes one.

LC_ALL=C
export LC_ALL
command=${1:-amx-suite}
node=${SLURMD_NODENAME:-$(hostname -s)}

said=$(timeout -k 1 7 "$command" doctor 2>&1)
code=$?
case $code in
    0) exit 0 ;;
    3) ;;
    *)
        # Only doctor's "no" is about the node. A broken or slow installation, which all nodes may
        # share, must not drain them all.
        [ $code -ge 124 ] && said="it did not answer in 7 seconds, or was killed"
        echo "amx-suite: doctor ended with $code on $node, which stays as it is:" \
            "$(printf '%s\n' "$said" | tail -n 1)" >&2
        exit 4
        ;;
esac

# The first reason, up to what to do about it, in one line of plain characters.
reason=$(printf '%s\n' "$said" | sed -n '/^  \[/,/^$/p' | sed -e '/^$/,$d' -e '/What to do: /,$d' |
    tr -s '\n ' '  ' | tr -d '"' | tr -cd '[:print:]' | sed -e 's/^ *//' -e 's/ *$//')
reason="amx-suite: ${reason:-AMX is not usable}"
echo "$node: $reason"

state=$(timeout 1 scontrol --oneliner show node "$node" | sed -n 's/.* State=\([^ ]*\).*/\1/p')
case $state in
    "")
        echo "amx-suite: scontrol does not know the node $node" >&2
        exit 4
        ;;
    *DRAIN*) ;;
    *) timeout 1 scontrol update NodeName="$node" State=drain Reason="$reason" || exit 4 ;;
esac
exit 3

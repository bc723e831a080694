#!/usr/bin/env bash
# Five nodes, a web server, a power cut, a partition and a heal. `make demo` runs
# it; RUNTIME=process or RUNTIME=podman chooses what runs the containers.
# Nothing is left behind, also after a failure or Ctrl-C.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
runtime=${RUNTIME:-auto}
first=6 scaled=8 final=9 # replicas: at first, after scaling, as edited in the partition
patience=60              # seconds until a wait counts as failed

for need in curl awk; do
  command -v "$need" >/dev/null || { echo "demo: $need is missing; 'make deps' installs it" >&2; exit 1; }
done
for made in holon web; do
  [ -x "$root/bin/$made" ] || { echo "demo: bin/$made is missing; run 'make demo'" >&2; exit 1; }
done
# The nodes inherit it: with plain host processes, `web` of the manifest is found here.
export PATH="$root/bin:$PATH"

dir=$(mktemp -d "${TMPDIR:-/tmp}/demo.XXXXXX")
export KUBECONFIG="$dir/net/kubeconfig"

tidy_up() {
  local code=$?
  trap - EXIT
  trap '' INT TERM
  if [ -e "$dir/net/testnet.json" ]; then
    case $code in
      0 | 130 | 143) ;;
      *) show_logs ;;
    esac
    holon testnet down --dir "$dir/net" || code=1
  fi
  rm -rf "$dir"
  exit "$code"
}
trap tidy_up EXIT
trap 'echo; echo "interrupted; tidying up"; exit 130' INT
trap 'exit 143' TERM

show_logs() {
  echo "FAILED after $(seconds_since "$began") s. The last lines of each node's log:"
  tail -n 5 "$dir"/net/n*/daemon.log || true
}

title() { printf '\n== %s\n' "$*"; }
run()   { printf '$ holon%s\n' "$(quoted "$@")"; holon "$@"; }
quoted() {
  local word
  for word; do
    case $word in
      *[\ \|\"\{]*) printf " '%s'" "$word" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
}
fail()  { echo "demo: $*" >&2; exit 1; }
now()   { echo "${EPOCHREALTIME//[!0-9]/}"; } # microseconds
seconds_since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", (b - a) / 1e6 }'; }

figures=()
figure() { figures+=("$(printf '%-58s %s' "$1" "$2")"); printf '   %s: %s\n' "$1" "$2"; }

# pods NODE: all pods that this node shows: Ready or not, name, node, address, start.
pods() {
  holon --context "$1" get pods -l app=web -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status} {.metadata.name} {.spec.nodeName} {.status.podIP} {.status.startTime}{"\n"}{end}'
}

# ready_pods NODE: those that it believes Ready.
ready_pods() { pods "$1" | grep '^True' | sort; }

# pages: what each pod listed on stdin really answers, one line each. A pod that is gone must not
# hold up the others: what is measured is when they serve.
pages() {
  awk '{ print "url = http://" $4 ":8080/" }' | curl --silent --parallel --connect-timeout 0.3 --max-time 2 --config - | sort || true
}

# wait_pages NODE N [only]: until NODE shows exactly N pods Ready and N different
# runs of the server answer; with "only", until NODE shows no other pods either.
wait_pages() {
  local node=$1 want=$2 only=${3:-} deadline=$((SECONDS + patience)) all ready got=''
  while [ "$SECONDS" -lt "$deadline" ]; do
    all=$(pods "$node" 2>/dev/null) || true
    ready=$(grep '^True' <<<"$all") || true
    if [ "$(grep -c . <<<"$ready")" = "$want" ] && { [ -z "$only" ] || [ "$all" = "$ready" ]; }; then
      got=$(pages <<<"$ready" | uniq)
      [ "$(grep -c '^hello' <<<"$got")" != "$want" ] || return 0
    fi
    sleep 0.05
  done
  holon --context "$node" get pods -o wide || true
  fail "$node did not see $want replicas serve within $patience s; the last pages were: ${got:-none}"
}

# wait_value TEXT ARGS...: until `holon ARGS` prints TEXT.
wait_value() {
  local want=$1 deadline=$((SECONDS + patience)) got=''
  shift
  while [ "$SECONDS" -lt "$deadline" ]; do
    got=$(holon "$@" 2>&1) || true
    [ "$got" != "$want" ] || return 0
    sleep 0.1
  done
  fail "'holon $*' printed '$got' and not '$want' within $patience s"
}

scheduler_of_web() { holon why deploy/web -o json | sed -n 's/^ *"scheduler": "\(.*\)",$/\1/p'; }

# ---------------------------------------------------------------------------
began=$(now)
title "A cluster of five nodes, each a process of its own"
run testnet up --nodes 5 --runtime "$runtime" --dir "$dir/net"
figure "5 nodes Ready" "$(seconds_since "$began") s"
chosen=$(holon testnet status --dir "$dir/net" -o json | sed -n '0,/"runtime"/s/^ *"runtime": "\(.*\)",$/\1/p')

title "A web server, $first times"
run testnet load-image --dir "$dir/net" localhost/holon-web:demo "/bin/web=$root/bin/web"
at=$(now)
run apply -f "$root/examples/web.yaml"
wait_pages n1 "$first"
figure "$first replicas serve pages" "$(seconds_since "$at") s"
run get pods -o wide
echo "a page of every replica:"
ready_pods n1 | pages

title "More of them, asked of another node"
at=$(now)
run --context n3 scale deploy/web --replicas "$scaled"
wait_pages n3 "$scaled"
figure "from $first to $scaled replicas, all serving" "$(seconds_since "$at") s"

title "Power cut of the node that schedules web"
victim=$(scheduler_of_web)
[ -n "$victim" ] || fail "nobody schedules web"
witness=n1
[ "$victim" != n1 ] || witness=n2
lost=$(ready_pods "$witness" | awk -v n="$victim" '$3 == n' | wc -l)
echo "$victim schedules web and runs $lost of its pods"
at=$(now)
run testnet kill "$victim" --dir "$dir/net"
wait_pages "$witness" "$scaled"
took=$(seconds_since "$at")
figure "power cut of $victim, until $scaled replicas serve again" "$took s"
run --context "$witness" get pods -o wide
run --context "$witness" why deploy/web | sed -n '1,4p'
echo
at=$(now)
run testnet start "$victim" --dir "$dir/net"
for n in n1 n2 n3 n4 n5; do wait_pages "$n" "$scaled" only; done
figure "$victim is back, exactly $scaled replicas in all views" "$(seconds_since "$at") s"

title "The cluster is cut in two, and both sides are edited"
ready_pods n1 >"$dir/pods-before"
pages <"$dir/pods-before" >"$dir/pages-before"
run testnet partition 'n1,n2,n3|n4,n5' --dir "$dir/net"
run --context n1 scale deploy/web --replicas "$final"
run --context n4 label deploy/web edited-by=the-small-side
run --context n2 patch configmap web --patch '{"data":{"colour":"blue"}}'
run --context n5 patch configmap web --patch '{"data":{"size":"large"}}'
at=$(now)
wait_pages n1 "$final"
wait_pages n4 "$scaled"
echo "each side serves all it wants by itself (a replica may run on both):"
echo "  n1,n2,n3: $(ready_pods n1 | wc -l) replicas serve   n4,n5: $(ready_pods n4 | wc -l) replicas serve"
figure "after the cut, until each side serves by itself" "$(seconds_since "$at") s"

title "Heal"
at=$(now)
run testnet heal --dir "$dir/net"
for n in n1 n2 n3 n4 n5; do
  wait_value "$final the-small-side" --context "$n" get deploy web -o 'jsonpath={.spec.replicas} {.metadata.labels.edited-by}'
  wait_value 'blue large' --context "$n" get configmap web -o 'jsonpath={.data.colour} {.data.size}'
done
figure "both sides' edits on every node" "$(seconds_since "$at") s"
for n in n1 n2 n3 n4 n5; do wait_pages "$n" "$final" only; done
figure "after the heal, until exactly $final replicas everywhere" "$(seconds_since "$at") s"
run get deploy web --show-labels
run get configmap web -o 'jsonpath=colour: {.data.colour}, size: {.data.size}{"\n"}'
run get pods -o wide
ready_pods n1 >"$dir/pods-after"
pages <"$dir/pods-after" >"$dir/pages-after"
restarted=$(comm -23 "$dir/pods-before" "$dir/pods-after")$(comm -23 "$dir/pages-before" "$dir/pages-after")
[ -z "$restarted" ] || fail "these pods did not live on from before the cut: $restarted"
figure "pods that ran on through cut and heal, not restarted" "$(wc -l <"$dir/pods-before") of $scaled"

title "Tidying up"
holon testnet down --dir "$dir/net"
total=$(seconds_since "$began")

title "Figures (5 nodes on this machine, containers by $chosen)"
printf '%s\n' "${figures[@]}"
printf '%-58s %s\n' "the whole demo" "$total s"

#!/usr/bin/env bash
# Bring a cluster to an overlay: what pods need, then the migrations, then the processes. Stops at the first failure,
# and what ran before goes on running: a migration is safe beside the previous version, and no replica of a new
# version gets ready before its database is migrated.
#
# Usage: rollout.sh local|production      (KUBECTL names another kubectl; its current context is used)
set -euo pipefail
cd "$(dirname "$0")"

overlay=${1:?say which overlay: local or production}
kubectl=${KUBECTL:-kubectl}
namespace=movie-package-suite
component=app.kubernetes.io/component
rendered=$(mktemp)
trap 'rm -f "$rendered"' EXIT

"$kubectl" kustomize "overlays/$overlay" >"$rendered"

echo "== settings, policies, servers"
"$kubectl" apply --filename "$rendered" --selector "$component notin (api, worker, gateway, migrate)"
if grep -q '^kind: StatefulSet$' "$rendered"; then
    "$kubectl" rollout status --namespace "$namespace" --selector "$component=server" --timeout 10m statefulset
fi

echo "== migrations"
# A finished Job cannot be changed, so each version's is a new one.
"$kubectl" delete job --namespace "$namespace" --selector "$component=migrate" --ignore-not-found
"$kubectl" apply --filename "$rendered" --selector "$component=migrate"
for job in identity subscription catalog watch; do
    if ! "$kubectl" wait --namespace "$namespace" --for condition=complete --timeout 15m "job/$job-migrate"; then
        "$kubectl" logs --namespace "$namespace" --tail 50 "job/$job-migrate" >&2 || true
        echo "the migration of $job failed; nothing was rolled out" >&2
        exit 1
    fi
done

echo "== processes"
"$kubectl" apply --filename "$rendered" --selector "$component in (api, worker, gateway)"
"$kubectl" rollout status --namespace "$namespace" --selector "$component in (api, worker, gateway)" --timeout 15m deployment

#!/usr/bin/env bash
# Writes the digest of each image's tag into deploy/images.lock. Needs docker and the registries.
# `deploy/resolve-digests.sh --override` prints a compose file that pulls by these digests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ "${1:-}" = --override ]; then
  grep -q ' unresolved$' images.lock && { echo 'resolve-digests.sh: run it without options first' >&2; exit 1; }
  echo 'services:'
  while read -r service image; do
    digest="$(sed -n "s|^$image ||p" images.lock)"
    if [ -n "$digest" ]; then printf '  %s: { image: "%s@%s" }\n' "$service" "$image" "$digest"; fi
  done < <(docker compose --file ../docker-compose.yml --profile '*' config --format json |
    python3 -c 'import json, sys
for name, one in json.load(sys.stdin)["services"].items(): print(name, one["image"])')
  exit
fi

draft="$(mktemp)"
trap 'rm -f "$draft"' EXIT
while read -r image digest; do
  case "$image" in
    '#'* | '') printf '%s\n' "$image${digest:+ $digest}" ;;
    *) printf '%s %s\n' "$image" "$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')" ;;
  esac
done <images.lock >"$draft"
cat "$draft" >images.lock

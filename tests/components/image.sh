#!/usr/bin/env bash
# Builds one service's image for real and runs it, without a Docker daemon and without a registry:
# buildah on a base that debootstrap makes. Needs root, and `apt-get install buildah debootstrap`.
#   tests/components/image.sh [SERVICE]        (make image-check)
# The base is kept in .cache/; the rest goes when the script ends. Prints what it measured.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

service="${1:-policy}"
base="$PWD/.cache/debian-python"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
storage=(--root "$scratch/storage" --runroot "$scratch/run" --storage-driver vfs)
export BUILDAH_ISOLATION=chroot

[ "$(id -u)" -eq 0 ] || { echo 'image.sh: run it as root (chroot isolation needs that)' >&2; exit 2; }
for program in buildah debootstrap; do
  command -v "$program" >/dev/null || { echo "image.sh: install $program" >&2; exit 2; }
done

if [ ! -e "$base/ready" ]; then
  rm -rf "$base"
  mkdir -p "$base"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
    bookworm "$base/rootfs" >"$base/log"
  touch "$base/ready"
fi

printf 'FROM scratch\nADD rootfs /\n' >"$scratch/Base"
buildah "${storage[@]}" bud --quiet --file "$scratch/Base" --tag localhost/python-base "$base" >/dev/null

began=$SECONDS
buildah "${storage[@]}" bud --quiet --pull-never --timestamp 315532800 \
  --build-arg BASE_IMAGE=localhost/python-base --build-arg "SERVICE=$service" \
  ${PIP_CERT:+--volume "$PIP_CERT:$PIP_CERT:ro" --env "PIP_CERT=$PIP_CERT"} \
  --tag "localhost/interlock-$service" . >/dev/null
echo "built interlock-$service in $((SECONDS - began)) s"

box="$(buildah "${storage[@]}" from --pull-never "localhost/interlock-$service")"
root="$(buildah "${storage[@]}" mount "$box")"
echo "its own layer: $(du -sm "$root/opt/interlock" | cut -f1) MB"
site=("$root"/opt/interlock/lib/python3*/site-packages)
held="$(find "${site[0]}/services" -mindepth 1 -maxdepth 1 -type d -not -name __pycache__ -printf '%f\n')"
[ "$held" = "$service" ] || { echo "image.sh: it holds the services: $held" >&2; exit 1; }
.venv/bin/python -m tests.components.image "$service" "$box" "$root" -- buildah "${storage[@]}"

#!/usr/bin/env bash
# Makes what docker-compose.yml needs and what nobody may commit, once: keys, passwords, the realm.
#   deploy/secrets.sh [FOLDER]        (make secrets; FOLDER: .interlock-compose)
# What is there stays. Everything is its owner's alone (0600): containers run as that owner, whose
# ids go into .env. Run as root, it gives all to 10001, so that no container needs to be root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 077

state="${1:-.interlock-compose}"
services=(auth registry policy invocation audit)
mkdir -p "$state"/{secrets,keys,keycloak,data/{valkey,postgres,anchor,logins}}

# keep FILE: standard input, unless the file is there.
keep() {
  local file="$state/$1"
  if [ -s "$file" ]; then cat >/dev/null; else cat >"$file"; fi
}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
secret() { cat "$state/secrets/$1"; }

.venv/bin/interlock deal-keys "$state/keys" 2>/dev/null

random | keep secrets/postgres_password
random | keep secrets/grafana_password
random | keep secrets/metrics_token
random | keep secrets/valkey_password
printf 'requirepass %s\n' "$(secret valkey_password)" | keep secrets/valkey_password.conf
printf 'redis://:%s@valkey:6379/0' "$(secret valkey_password)" | keep secrets/redis_url
printf '[default]\naws_access_key_id = local\naws_secret_access_key = local\n' |
  keep secrets/aws_credentials

for service in "${services[@]}"; do
  random | keep "secrets/${service}_database_password"
  password="$(secret "${service}_database_password")"
  printf 'postgresql://%s:%s@postgres:5432/%s' "$service" "$password" "$service" |
    keep "secrets/${service}_database_url"
done
# A role and a database for each service: none reads another's.
for service in "${services[@]}"; do
  printf "CREATE ROLE %s LOGIN PASSWORD '%s';\n" "$service" "$(secret "${service}_database_password")"
  printf 'CREATE DATABASE %s OWNER %s;\n' "$service" "$service"
  printf 'REVOKE ALL ON DATABASE %s FROM PUBLIC;\n' "$service"
done | keep secrets/databases.sql

# The realm, with a secret of its own for each placeholder; secrets/realm lists them.
realm=deploy/keycloak/interlock-realm.json
if [ ! -s "$state/keycloak/interlock-realm.json" ]; then
  filled="$(cat "$realm")"
  : >"$state/secrets/realm"
  for name in $(grep -o '\${[A-Z_]*}' "$realm" | tr -d '${}' | sort -u); do
    value="$(random)"
    printf '%s=%s\n' "$name" "$value" >>"$state/secrets/realm"
    filled="${filled//"\${$name}"/$value}"
  done
  printf '%s\n' "$filled" >"$state/keycloak/interlock-realm.json"
fi

uid="$(id -u)" gid="$(id -g)"
if [ "$uid" -eq 0 ]; then
  uid=10001 gid=10001
  chown -R "$uid:$gid" "$state"/{secrets,keys,keycloak}
  chown "$uid:$gid" "$state" "$state"/data "$state"/data/*
fi
if [ "$state" = .interlock-compose ]; then
  touch .env
  others="$(grep -v -E '^INTERLOCK_[UG]ID=' .env || true)"
  printf '%sINTERLOCK_UID=%s\nINTERLOCK_GID=%s\n' "${others:+$others$'\n'}" "$uid" "$gid" >.env
fi
echo "secrets are in $state; people and agents of the realm: $state/secrets/realm" >&2

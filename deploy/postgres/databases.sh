#!/usr/bin/env bash
# Run once by the image, on an empty data folder: a role and a database for each service.
set -euo pipefail
psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --file /run/secrets/databases.sql

# One image per service, holding `shared/` and that service's folder and nothing else:
#   docker build --build-arg SERVICE=policy --tag interlock/policy:0.1.0 .
# Every dependency is pinned by hash; with one SOURCE_DATE_EPOCH two builds install the same bytes.
ARG BASE_IMAGE=python:3.13.7-slim-bookworm

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_COMPILE=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /build
# Tools stay behind in this stage; what runs gets an environment without pip.
COPY deploy/locks/ locks/
RUN python3 -m venv /tools \
    && /tools/bin/pip install --quiet --require-hashes --no-deps -r locks/build.lock \
    && python3 -m venv --without-pip /opt/interlock
RUN /tools/bin/pip --python /opt/interlock/bin/python install --quiet \
        --require-hashes --no-deps --only-binary :all: -r locks/service.lock
ARG SERVICE
ARG SOURCE_DATE_EPOCH=315532800
COPY LICENSE README.md pyproject.toml ./
COPY shared/interlock/ shared/interlock/
COPY services/__init__.py services/
COPY services/${SERVICE}/ services/${SERVICE}/
RUN test -f "services/${SERVICE:?name one: --build-arg SERVICE=policy}/__main__.py" \
    && /tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheel . \
    && /tools/bin/pip --python /opt/interlock/bin/python install --quiet --no-deps --no-index wheel/*.whl \
    && /opt/interlock/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/interlock/lib \
    && printf '#!/bin/sh\nexec /opt/interlock/bin/python -P -m services.%s "$@"\n' "${SERVICE}" \
        > /opt/interlock/bin/service \
    && chmod 0755 /opt/interlock/bin/service \
    && find /opt/interlock -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE_IMAGE}
ARG SERVICE
LABEL org.opencontainers.image.title="interlock ${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing but /tmp is written to; keys and secrets are mounted.
ENV HOME=/tmp \
    INTERLOCK_DATA=/tmp/interlock \
    INTERLOCK_EMBEDDED=false \
    INTERLOCK_HOST=0.0.0.0 \
    INTERLOCK_LOG_FORMAT=json \
    PATH=/opt/interlock/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/interlock /opt/interlock
WORKDIR /tmp
EXPOSE 8080
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/interlock/bin/service"]

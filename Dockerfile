# One image: train, serve, score, monitor; `--target serve` is the lean variant that only serves. See docs/image.md.
FROM docker.io/library/python:3.11-slim-bookworm AS base
# Without bytecode a start takes 3 to 4 times as long, and the official image has none of the standard library.
# Hash-based, because layers and registries don't keep times; unchecked, because nothing here changes.
RUN python3 -m compileall -q --invalidation-mode unchecked-hash \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin mlops

FROM base AS build
ENV PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    UV_LINK_MODE=copy \
    UV_SYSTEM_CERTS=1 \
    UV_PYTHON=python3 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /src
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN --mount=type=cache,target=/root/.cache/uv \
    UV_PROJECT_ENVIRONMENT=/opt/sbom /opt/uv/bin/uv sync --frozen --only-group sbom
COPY ml ml
ENV UV_PROJECT_ENVIRONMENT=/opt/mlops \
    SBOM=/opt/mlops/share/sbom/mlops.cdx.json

# Libraries' own tests are a seventh of what is installed.
FROM build AS build-serve
# Which stores it reads: --build-arg STORES="--extra s3" for an image that runs on AWS alone.
ARG STORES="--extra s3 --extra gcs --extra abfs"
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/root/.cache/uv \
    install() { /opt/uv/bin/uv sync --quiet --frozen --no-editable --extra serve --extra telemetry --extra lambda \
      ${STORES} "$@"; } \
 && install && find /opt/mlops/lib -type d -name tests -prune -exec rm -r {} + && install --compile-bytecode \
 && rm /opt/mlops/.lock \
 && mkdir -p "$(dirname "${SBOM}")" && /opt/sbom/bin/cyclonedx-py environment --output-reproducible \
      --mc-type application --pyproject pyproject.toml --output-file "${SBOM}" /opt/mlops/bin/python

FROM build-serve AS build-train
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/root/.cache/uv \
    install() { /opt/uv/bin/uv sync --quiet --frozen --no-editable --extra serve --extra telemetry --extra lambda \
      ${STORES} --extra train --extra sagemaker --extra monitor --extra feedback --extra delta "$@"; } \
 && install && find /opt/mlops/lib -type d -name tests -prune -exec rm -r {} + && install --compile-bytecode \
 && rm /opt/mlops/.lock \
 && /opt/sbom/bin/cyclonedx-py environment --output-reproducible \
      --mc-type application --pyproject pyproject.toml --output-file "${SBOM}" /opt/mlops/bin/python

# The base without whatever a server has no use for: no shell, no package manager, no program but Python. What is
# deleted would still be in the layers below, so the serving image starts again from what is left. The packages'
# database and licences stay: scanners and lawyers read them.
FROM base AS bare
RUN rm -rf "$(python3 -c 'import ensurepip; print(ensurepip.__path__[0])')" /usr/lib/python3/dist-packages \
      /usr/local/lib/python3.*/site-packages /usr/share/python-wheels /usr/lib/apt /usr/share/perl* \
      /usr/lib/*-linux-gnu/perl* /usr/share/locale /usr/share/man /usr/share/info /usr/share/bash-completion \
      /var/lib/apt /var/cache /var/log /root/.cache \
 && find /usr/share/doc -type f ! -name copyright -delete \
 && find /usr/bin/ /usr/sbin/ /usr/local/bin/ ! -type d ! -name 'python3*' -delete

FROM scratch AS serve
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mlops-reference serve" \
      org.opencontainers.image.description="The model server, for every platform's protocol" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
# hadolint ignore=DL3067
COPY --from=bare / /
COPY --from=build-serve /opt/mlops /opt/mlops
COPY keys /etc/mlops/keys
ENV PATH=/opt/mlops/bin:/usr/local/bin:/usr/bin \
    LANG=C.UTF-8 \
    MLOPS_TRUSTED_KEYS=/etc/mlops/keys \
    MLOPS_REVISION=${REVISION} \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
HEALTHCHECK --start-period=60s --interval=10s --timeout=5s CMD ["mlops-container", "health"]
ENTRYPOINT ["mlops-container"]
CMD ["serve"]

# Keeps the base's shell: Azure Machine Learning runs a job's command with bash.
FROM base AS train
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mlops-reference" \
      org.opencontainers.image.description="Train, serve, score and monitor" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
COPY --from=build-train /opt/mlops /opt/mlops
COPY keys /etc/mlops/keys
ENV PATH=/opt/mlops/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    MLOPS_TRUSTED_KEYS=/etc/mlops/keys \
    MPLCONFIGDIR=/tmp/matplotlib \
    MLOPS_REVISION=${REVISION} \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["mlops-container"]
CMD ["serve"]

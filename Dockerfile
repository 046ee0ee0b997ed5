# syntax=docker/dockerfile:1
FROM docker.io/library/python:3.13-slim-trixie AS build

WORKDIR /src
COPY requirements.txt .
# What is shipped has no pip of its own, and its bytecode: at run time nothing can be written.
RUN python -m venv --without-pip /opt/pgmon \
 && pip --python /opt/pgmon/bin/python install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY pgmon pgmon
COPY templates templates
COPY static static
RUN pip --python /opt/pgmon/bin/python install --no-cache-dir --no-deps --no-build-isolation . \
 && pip --python /opt/pgmon/bin/python uninstall --yes setuptools


FROM docker.io/library/python:3.13-slim-trixie

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="pgmon" \
      org.opencontainers.image.description="A read-only PostgreSQL health agent for Prometheus" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

COPY --from=build /opt/pgmon /opt/pgmon
# Every key with its default: where nothing is mounted on /config, the environment says the rest.
COPY examples/pgmon.yaml /config/pgmon.yaml
ENV PATH=/opt/pgmon/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# nobody: it owns no file of the image
USER 65534:65534
EXPOSE 8181
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["pgmon", "--healthcheck"]
ENTRYPOINT ["pgmon", "--config", "/config/pgmon.yaml"]

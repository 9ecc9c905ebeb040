# Keystead's server with SoftHSM 2. The embedded PostgreSQL is not in it: give it a DATABASE_URL.
# docs/operations.md, "Containers", says how the parts go together.

FROM python:3.12-slim-bookworm AS build
# Sign-on by LDAP is compiled against OpenLDAP's client library.
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev libldap-dev libsasl2-dev
COPY requirements/ldap.lock /tmp/ldap.lock
RUN python -m venv /opt/keystead \
 && /opt/keystead/bin/pip install --no-cache-dir --no-deps --require-hashes -r /tmp/ldap.lock \
 && /opt/keystead/bin/pip uninstall --yes pip

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="Keystead" \
      org.opencontainers.image.description="Self-hosted key management server with the REST API of Fortanix DSM" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
RUN apt-get update \
 && apt-get install -y --no-install-recommends softhsm2 libldap-2.5-0 libsasl2-2 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 keystead \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin keystead \
 && install -d -o 10001 -g 10001 -m 0711 /var/lib/keystead
COPY --from=build /opt/keystead /opt/keystead
COPY . /app
WORKDIR /app
# Bytecode is made now: the root file system is read-only later.
RUN /opt/keystead/bin/python -m compileall -q /app /opt/keystead/lib
ENV PATH=/opt/keystead/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    KEYSTEAD_DATA=/var/lib/keystead \
    KEYSTEAD_LISTEN=https://0.0.0.0:8443
USER 10001:10001
VOLUME /var/lib/keystead
EXPOSE 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "kms.config.healthcheck"]
ENTRYPOINT ["python", "manage.py"]
CMD ["run"]

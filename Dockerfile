# The command line as an image: docker build -t llm-unified . && docker run --rm --env-file .env llm-unified check
# The base is named by tag: its digest could not be verified where this was written. Dependabot raises the tag.
FROM python:3.14-slim-trixie AS base

RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin llm \
    && install -d -o llm -g llm /app
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app

FROM base AS build

WORKDIR /src
RUN python -m venv --without-pip /opt/llm-unified
COPY requirements/ requirements/
# --no-deps: the lock is complete. The hashes prove that these are the packages that were tested.
RUN pip --python /opt/llm-unified/bin/python install --no-cache-dir --no-deps --require-hashes \
    --requirement requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY llm_unified/ llm_unified/
# The lock holds for what builds the wheel, too.
RUN pip wheel --no-cache-dir --no-deps --build-constraint requirements/package.txt --wheel-dir /wheels . \
    && pip --python /opt/llm-unified/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl

# The LiteLLM Proxy, as tests/test_proxy.py runs it on our export. compose.yaml starts it; --target proxy.
FROM base AS proxy-build

RUN python -m venv --without-pip /opt/proxy
COPY requirements/proxy.txt .
RUN pip --python /opt/proxy/bin/python install --no-cache-dir --no-deps --require-hashes --requirement proxy.txt

FROM base AS proxy

COPY --from=proxy-build /opt/proxy /opt/proxy
ENV PATH=/opt/proxy/bin:$PATH LITELLM_LOCAL_MODEL_COST_MAP=True HOME=/tmp
USER 10001:10001
EXPOSE 4000
CMD ["litellm", "--config", "/app/proxy.yaml", "--host", "0.0.0.0", "--port", "4000"]

FROM base

LABEL org.opencontainers.image.title="llm-unified" \
    org.opencontainers.image.description="One object that answers chat requests from several LLM providers, with failover" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.source="https://github.com/llm-unified/llm_unified"
COPY --from=build /opt/llm-unified /opt/llm-unified
# Nothing is written at run time, so the root may be read-only.
ENV PATH=/opt/llm-unified/bin:$PATH
USER 10001:10001
ENTRYPOINT ["llm-unified"]
CMD ["--help"]

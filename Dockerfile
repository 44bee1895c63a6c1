# An image with imglab and its presets, for machines with or without an NVIDIA GPU.
#
#     docker build -t imglab .
#     docker run --rm --gpus all -v "$PWD:/lab" imglab run digits
#
# Runs, and what is fetched or cached, go to the folder that is mounted at /lab.
FROM python:3.12-slim

RUN useradd --create-home imglab && mkdir /lab && chown imglab /lab
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY imglab ./imglab
COPY configs ./configs
RUN pip install --no-cache-dir '.[lora]' && rm -rf /source

USER imglab
WORKDIR /lab
ENV IMGLAB_DATA=/lab/data IMGLAB_CACHE=/lab/.cache/imglab HF_HOME=/lab/.cache/huggingface
ENTRYPOINT ["imglab"]
CMD ["--help"]

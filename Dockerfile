# An image with imglab and its presets, for machines with or without an NVIDIA GPU.
#
#     docker build -t imglab .
#     docker run --rm --gpus all -v "$PWD:/work" imglab run digits
#
# Runs, and what is fetched or cached, go to the folder that is mounted at /work.
FROM python:3.12-slim

RUN useradd --create-home imglab && mkdir /work && chown imglab /work
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY imglab ./imglab
COPY configs ./configs
RUN pip install --no-cache-dir '.[lora]' && rm -rf /source

USER imglab
WORKDIR /work
ENV IMGLAB_DATA=/work/data IMGLAB_CACHE=/work/.cache/imglab HF_HOME=/work/.cache/huggingface
ENTRYPOINT ["imglab"]
CMD ["--help"]

# Serves an exported model: numpy, Pillow, ONNX Runtime and the server; no PyTorch, nothing that trains.
#
#     warmstart export runs/<...> --to onnx --out model
#     docker build -t warmstart-serve .
#     docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/model:/models/model:ro" warmstart-serve
#
# A model file of another format needs its engine: add openvino to the first line of pip.
FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 WARMSTART_CACHE=/tmp/warmstart

COPY requirements-runtime.txt requirements-serve.txt /build/
RUN pip install -r /build/requirements-runtime.txt -r /build/requirements-serve.txt

COPY pyproject.toml README.md LICENSE /build/
COPY src /build/src
RUN pip install --no-deps /build && rm -rf /build

RUN useradd --create-home warmstart && mkdir /models
USER warmstart
# Where the server keeps what is uploaded; mount a volume here to keep it: -v warmstart:/home/warmstart
WORKDIR /home/warmstart
EXPOSE 8000
# Inside a container the loopback of the container reaches nobody: -p above decides who may connect.
ENTRYPOINT ["warmstart"]
CMD ["serve", "--models", "/models", "--host", "0.0.0.0", "--port", "8000"]

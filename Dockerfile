# The host part: export, ask, evaluate, compare.
#   docker build -t mobilevlm-kit .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" mobilevlm-kit export demo -o demo.mvlm
FROM python:3.12-slim-bookworm

WORKDIR /kit
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY export export
COPY python_host python_host
RUN pip install --no-cache-dir --constraint constraints.txt .

# Any user may run it, also one whom the image doesn't know: the kit needs a place to cache in.
ENV HOME=/tmp
USER 1000
WORKDIR /data
ENTRYPOINT ["mvlm"]
CMD ["--help"]

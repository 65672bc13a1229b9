# The package on a processor, from this clone. Not built here: its steps are those of `make setup`, which the tests run.
#   docker build -t uscl .
#   docker run --rm -v "$PWD/clips:/clips:ro" -v "$PWD/run:/out" uscl pretrain /clips --out /out --size 64
FROM python:3.11-slim
# OpenCV's wheel links against these two.
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/uscl_plugin
COPY . .
RUN python -m pip install --no-cache-dir -c requirements/constraints-onedl.txt "setuptools<82" \
 && python -m pip install --no-cache-dir -c requirements/constraints-onedl.txt '.[onedl,dicom,export,stacks]'
# The key that hashes patients, and caches, are written below HOME.
RUN useradd --create-home uscl
USER uscl
WORKDIR /home/uscl
ENTRYPOINT ["uscl"]
CMD ["--help"]

FROM python:3.11-slim

# The Challenge's three lines: everything lives in /challenge.
RUN mkdir /challenge
COPY ./ /challenge
WORKDIR /challenge

# No apt packages: every requirement is a wheel that brings its libraries (OpenCV is the headless build).
# A folder mounted over /challenge/model hides the shipped weights; train_model.py starts from the copy in pretrained.
RUN pip install --no-cache-dir --requirement requirements.txt \
    && cp -r model pretrained

# Idle threads sleep instead of spinning, which matters where containers share cores.
ENV OMP_WAIT_POLICY=PASSIVE

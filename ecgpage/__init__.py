"""From a picture of a 12-lead ECG to its signals in millivolts and to diagnoses.

The way of the data, one module a stage:

    image -> page -> grid -> leads -> trace -> signals -> diagnose

``pipeline`` strings them together; ``ecg`` holds the words that all of them share.
"""

__version__ = "0.1.0"

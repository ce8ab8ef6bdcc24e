#!/usr/bin/env python
"""Train the models on a folder of records.

python train_model.py -d training_data -m model
"""

import argparse
import sys

from team_code import train_models


def get_parser() -> argparse.ArgumentParser:
    """Arguments of the script."""
    parser = argparse.ArgumentParser(description="Train the Challenge models.")
    parser.add_argument(
        "-d", "--data_folder", type=str, required=True, help="records with signals, images, labels"
    )
    parser.add_argument("-m", "--model_folder", type=str, required=True, help="where the models go")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is done")
    return parser


def run(args: argparse.Namespace) -> None:
    """Hand the folders to the team's training function."""
    train_models(args.data_folder, args.model_folder, args.verbose)


if __name__ == "__main__":
    run(get_parser().parse_args(sys.argv[1:]))

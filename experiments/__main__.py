"""All tables and figures of the paper; runs that several need are made once, finished ones are not made again.

python -m experiments --list                                  what there is, what shares runs, how long it takes
python -m experiments --all --world mini --jobs 2
python -m experiments --all --world mtil --data DIR --sources synthetic=DIR imagenet=DIR --device cuda --shard 1/8
python -m experiments.table3 --world mini                     one of them
"""

from experiments.command import main

if __name__ == "__main__":
    main(None)

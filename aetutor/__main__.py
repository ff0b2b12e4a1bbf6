"""`python -m aetutor`: what this machine offers the course. `python -m aetutor train`: training outside a notebook."""

import argparse
import contextlib
import gc
import os
import sys

EXAMPLES = """examples:
  python -m aetutor                                       what works on this machine, and what mends the rest
  python -m aetutor train                                 the dense network of chapter 02 on MNIST
  python -m aetutor train --model conv --code 30 --hidden 256 --epochs 20 --checkpoint runs/conv
                                                          Ctrl-C it, or lose power: the same line goes on
  python -m aetutor train --model conv --data pictures --size 64 --channels 3
                                                          a folder of image files, read while training
  torchrun --nproc-per-node=2 -m aetutor train --model conv --data mnist
                                                          two processes, one GPU each where there are GPUs
  torchrun --nnodes=2 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-endpoint=HOST:29500 -m aetutor train --model conv
                                                          the same on two machines, run on both
"""


def main(arguments: list[str] | None = None) -> int:
    """The command line: without a command, prints the environment report, the data included.

    arguments  : list of str what follows `python -m aetutor`; by default what the shell gave
    returns    : int         exit status: 0 if all went well, 1 if something must be mended, 2 for a wrong option, 130
                             after Ctrl-C
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    form = argparse.ArgumentParser(
        prog="python -m aetutor", usage="%(prog)s [-h] [train ...]",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Without a command: reports what this machine offers the course.",
    )  # fmt: skip
    commands = form.add_subparsers(dest="command", metavar="train")
    training = commands.add_parser(
        "train", prog="python -m aetutor train", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        help="trains a network and prints its test error",
        description="Trains a network as train.fit does in the notebooks, and prints its error on the test images.",
    )  # fmt: skip
    add = training.add_argument
    add("--model", choices=("dense", "conv"), default="dense", help="kind of network (default: dense)")
    add(
        "--data",
        default="mnist",
        metavar="NAME",
        help="what data.load knows, or a folder of images (default: mnist)",
    )
    add("--size", type=int, default=64, help="of a folder's images: side in pixels (default: 64)")
    add("--channels", type=int, default=3, choices=(1, 3), help="of a folder's images: 1 grey, 3 colour (default: 3)")
    add("--code", type=int, default=32, help="numbers in the code (default: 32)")
    add("--width", type=int, default=16, help="of a conv network: feature maps after the first layer (default: 16)")
    add("--hidden", type=int, help="width of the hidden layer (0: none; default: 256 for dense, 0 for conv)")
    add("--epochs", type=int, default=5, help="rounds through the training images (default: 5)")
    add("--batch", type=int, default=128, help="images per step, of all processes together (default: 128)")
    add("--lr", type=float, default=4e-3, help="peak learning rate (default: 0.004)")
    add("--seed", type=int, default=0, help="number of the random streams (default: 0)")
    add("--device", help="such as cpu or cuda:1 (default: the fastest there is)")
    add("--checkpoint", metavar="FOLDER", help="keep what is needed to go on after a stop, and go on from it")
    add("--save", metavar="FILE", help="where to save the trained weights, as safetensors (by default nowhere)")
    asked = form.parse_args(arguments)
    return _train(asked) if asked.command else _report()


def _train(asked) -> int:
    import torch
    from safetensors.torch import save_file

    from aetutor import data, measure, models, runtime, train

    team = int(os.environ.get("WORLD_SIZE", "1")) > 1  # torchrun sets it
    here = asked.device
    if team and here in (None, "cuda") and torch.cuda.is_available():
        here = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        where = runtime.device(here)
        if where.type == "cuda" and where.index is not None:  # plain "cuda" is the current one
            torch.cuda.set_device(where)
        with _team(where) if team else contextlib.nullcontext():
            known = asked.data in data.NAMES
            images = data.load(asked.data) if known else _folder(asked)
            shape = images.shape
            with runtime.seeded("weights", asked.seed):
                if asked.model == "dense":
                    hidden = 256 if asked.hidden is None else asked.hidden
                    model = models.DenseAutoencoder(asked.code, hidden=(hidden,) if hidden else (), shape=shape)
                else:
                    model = models.ConvAutoencoder(
                        asked.code, width=asked.width, channels=shape[0], size=shape[1:], hidden=asked.hidden or 0
                    )
            settings = {name: getattr(asked, name) for name in ("epochs", "batch", "lr", "seed", "checkpoint")}
            first = os.environ.get("RANK", "0") == "0"
            history = train.fit(model, images, device=where, progress=first and sys.stderr.isatty(), **settings)
            if first:
                if asked.save:
                    os.makedirs(os.path.dirname(os.path.abspath(asked.save)), exist_ok=True)
                    save_file(model.state_dict(), asked.save)
                error = measure.reconstruction_error(model, images.test)
                pixels = shape[0] * shape[1] * shape[2]
                print(f"{images}\n{type(model).__name__}, {models.parameters(model):,} parameters, on {where}")
                print(f"{history}\ntest images: squared error {error:.5f} per pixel, {error * pixels:.3f} per image")
            if history.stopped.startswith("interrupted"):
                return 130  # what a shell expects of a program that Ctrl-C has ended
    except (ValueError, TypeError, RuntimeError, OSError) as error:  # each says what was wrong and what to do
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _folder(asked):
    from aetutor import data

    if not os.path.isdir(asked.data):
        raise ValueError(f"--data is {asked.data!r}; expected one of {', '.join(data.NAMES)}, or a folder of images")
    return data.folder(asked.data, size=asked.size, channels=asked.channels)


@contextlib.contextmanager
def _team(where):
    import torch.distributed as dist

    dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
    try:
        yield
    finally:
        gc.collect()  # the engine holds on to the group
        dist.destroy_process_group()


def _report() -> int:
    try:
        from aetutor import data, runtime  # here, since a missing torch or numpy is just what we are asked about
    except Exception as error:
        broken = (getattr(error, "name", None) or "torch torchvision numpy").partition(".")[0]
        mend = f"{sys.executable} -m pip install --force-reinstall {broken}"
        print(f"✘ The course does not start ({type(error).__name__}: {error})\n    mend it with:  {mend}")
        return 1
    report = runtime.report()
    chosen = os.path.abspath(os.path.expanduser(os.environ.get("AETUTOR_DATA", "")))
    found = set()
    for name in data.NAMES:
        try:
            folder = data.where(name)
            found.add(str(folder))
            report.facts[name] = str(folder) if folder else "not here; data.load downloads it"
            if name == "mnist":  # what the chapters need: read it, which checks every byte
                data.load(name)
        except data.DataError as error:
            report.facts[name] = "cannot be read"
            if error.mend not in dict(report.problems).values():  # a wrong AETUTOR_DATA is wrong for every dataset
                report.problems.append((f"{name}: {error}", error.mend or "see the message"))
        except Exception as error:  # a package that is missing or broken; in most cases reported already
            report.facts[name] = f"cannot be looked for ({type(error).__name__}: {error})"
            if not report.problems:
                report.problems.append((f"{name}: {error}", f"{sys.executable} -m pip install --upgrade aetutor"))
    if "AETUTOR_DATA" in report.facts and os.path.isdir(chosen) and chosen not in found:
        expected = os.path.join(chosen, "MNIST", "raw")
        report.facts["AETUTOR_DATA"] += f", which holds none of the datasets; expected for example {expected}"
    print(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())

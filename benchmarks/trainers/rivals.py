"""The trainers, each as short as its documentation has it: network and terms in, out comes the call to be timed."""

import dataclasses
import logging
import os
import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset, TensorDataset

from aetutor import data, train
from benchmarks.trainers.terms import PEAK_LR, VALID_BATCH, Terms, pictures, squared_error, tensors

Call = Callable[[], object]


def fit(model: nn.Module, terms: Terms) -> Call:
    images = data.load("mnist")
    images = dataclasses.replace(images, train=images.train[: terms.images], train_labels=None)
    how = {"epochs": terms.epochs, "batch": terms.batch, "lr": PEAK_LR, "seed": terms.seed, "device": terms.device}
    return lambda: train.fit(model, images, progress=False, **how)


def plain(model: nn.Module, terms: Terms) -> Call:
    return _plain(model, terms, *pictures(terms))


def plain_tensors(model: nn.Module, terms: Terms) -> Call:
    return _plain(model, terms, *map(TensorDataset, tensors(terms)), fused=True)


def _plain(model: nn.Module, terms: Terms, training: Dataset, validation: Dataset, **adam) -> Call:
    loader = DataLoader(training, batch_size=terms.batch, shuffle=True)
    checks = DataLoader(validation, batch_size=VALID_BATCH)
    model.to(terms.device)
    optimiser = Adam(model.parameters(), lr=PEAK_LR, **adam)
    schedule = LambdaLR(optimiser, terms.share_of_peak)

    def loop():
        for _ in range(terms.epochs):
            model.train()
            total = 0.0
            for x, *_ in loader:
                x = x.to(terms.device)
                optimiser.zero_grad()
                loss = squared_error(model(x), x)
                loss.backward()
                optimiser.step()
                schedule.step()
                total += loss.item()
            model.eval()
            with torch.no_grad():
                for x, *_ in checks:
                    x = x.to(terms.device)
                    total += squared_error(model(x), x).item()

    return loop


def lightning(model: nn.Module, terms: Terms) -> Call:
    return _lightning(model, terms, *pictures(terms))


def lightning_tensors(model: nn.Module, terms: Terms) -> Call:
    return _lightning(model, terms, *map(TensorDataset, tensors(terms)), fused=True)


def _lightning(model: nn.Module, terms: Terms, training: Dataset, validation: Dataset, **adam) -> Call:
    import lightning

    class Lesson(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, batch, index):
            return squared_error(self.model(batch[0]), batch[0])

        def validation_step(self, batch, index):
            return squared_error(self.model(batch[0]), batch[0])

        def configure_optimizers(self):
            optimiser = Adam(self.parameters(), lr=PEAK_LR, **adam)
            schedule = LambdaLR(optimiser, terms.share_of_peak)
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")  # that the loader has no workers, as in most tutorials
    where = "gpu" if terms.device == "cuda" else "cpu"
    # Lightning's own mode for measuring: all that may cost speed is off.
    trainer = lightning.Trainer(max_epochs=terms.epochs, accelerator=where, devices=1, barebones=True)
    loader = DataLoader(training, batch_size=terms.batch, shuffle=True)
    checks = DataLoader(validation, batch_size=VALID_BATCH)
    return lambda: trainer.fit(Lesson(), loader, checks)


def skorch(model: nn.Module, terms: Terms) -> Call:
    import skorch
    from skorch.callbacks import LRScheduler
    from skorch.helper import predefined_split

    class Net(skorch.NeuralNet):
        def get_loss(self, x_hat, y, X=None, training=False):  # without a y, whose look-up would cost time
            return squared_error(x_hat, X.to(x_hat.device))

    x, checks = (part.numpy() for part in tensors(terms))
    net = Net(
        model,
        criterion=nn.MSELoss,  # has to be named, and get_loss stands for it
        optimizer=Adam,
        optimizer__fused=True,
        lr=PEAK_LR,
        max_epochs=terms.epochs,
        batch_size=terms.batch,
        iterator_train__shuffle=True,
        iterator_valid__batch_size=VALID_BATCH,
        train_split=predefined_split(skorch.dataset.Dataset(checks)),
        callbacks=[
            LRScheduler(policy=LambdaLR, lr_lambda=terms.share_of_peak, step_every="batch", event_name=None),
        ],
        verbose=0,
        device=terms.device,
    )
    return lambda: net.fit(x, None)


def keras(model: nn.Module, terms: Terms) -> Call:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    class Rate(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return PEAK_LR * terms.share_of_peak(int(step))

    def loss(x, x_hat):  # one number per image, of which Keras takes the mean
        return (x_hat - x).square().flatten(1).sum(1)

    x, checks = (part.numpy() for part in tensors(terms))
    net = keras.Sequential([keras.layers.TorchModuleWrapper(model)])  # faster than layers of Keras's own
    net.compile(optimizer=keras.optimizers.Adam(Rate()), loss=loss, jit_compile=False)
    how = {"epochs": terms.epochs, "batch_size": terms.batch, "verbose": 0}
    return lambda: net.fit(x, x, validation_data=(checks, checks), validation_batch_size=VALID_BATCH, **how)


TRAINERS = {
    "fit": fit,
    "plain": plain,
    "plain-tensors": plain_tensors,
    "lightning": lightning,
    "lightning-tensors": lightning_tensors,
    "skorch": skorch,
    "keras": keras,
}

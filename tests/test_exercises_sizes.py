"""The checkers of assignment 03: right answers in several forms pass, and what they compare with is right itself."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from aetutor import exercises, models
from aetutor.exercises import Wrong, kernels

LAYERS = [{"kernel": 4, "stride": 2, "padding": 1}, {"kernel": 3, "dilation": 2}]


def sizes(n, layers):
    found = [n]
    for layer in layers:
        found.append(models.conv_size(found[-1], **layer))
    return found


def raises(mistake: str, check, answer, **how):
    with pytest.raises(Wrong) as caught:
        check(answer, **how)
    assert caught.value.mistake == mistake, caught.value


# --- Right answers, and what is not an answer ---------------------------------------------------------------------


def test_sizes_may_be_a_tuple_or_numpys_whole_numbers_and_must_refuse_by_value_error():
    for answer in (sizes, lambda n, layers: tuple(np.array(sizes(n, layers)))):
        assert "right" in exercises.check_sizes(answer, n=27, layers=LAYERS)
        assert "refuses" in exercises.check_sizes(answer, n=3, layers=[{"kernel": 9, "stride": 4}])

    def refuses(n, layers):
        raise KeyError("kernel")

    raises("fails", exercises.check_sizes, refuses, n=3, layers=[{"kernel": 9}])
    raises("fails", exercises.check_sizes, refuses, n=27, layers=LAYERS)
    raises("value", exercises.check_sizes, lambda n, layers: [n, 7, 7], n=27, layers=LAYERS)


def test_output_paddings_may_be_a_list_and_not_a_truth():
    layer = {"kernel": 3, "stride": 2, "padding": 1}
    case = {"small": (14, 22), "large": (28, 43), **layer}
    assert exercises.check_output_paddings(lambda a, b, **how: [1, 0], **case)
    raises("type", exercises.check_output_paddings, lambda a, b, **how: (True, False), **case)
    raises("transposed", exercises.check_output_paddings, lambda a, b, **how: (0, 1), **case)
    raises("limit", exercises.check_output_paddings, lambda a, b, **how: None, **case)


def test_even_layer_accepts_any_padding_that_does_it_and_no_other_stride():
    for padding, output_padding in [(1, 0), (2, 2)]:  # of 5 pixels, kernel 3 and stride 3 make 13 in two ways
        found = {"kernel_size": 3, "stride": 3, "padding": padding, "output_padding": output_padding}
        assert exercises.check_even_layer(lambda *given, found=found, **how: found, small=5, large=13, stride=3)
    raises("stride", exercises.check_even_layer, lambda *given, **how: found, small=5, large=13, stride=1)
    raises("size", exercises.check_even_layer, lambda *given, **how: found, small=5, large=90, stride=3)


def test_writes_accepts_another_way_to_count():
    def fold(small, *, kernel, stride, padding, output_padding, dilation):
        size = [
            models.transposed_size(n, kernel=kernel, stride=stride, padding=padding, dilation=dilation) for n in small
        ]
        how = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
        return F.fold(torch.ones(1, kernel**2, small[0] * small[1]), size, **how)[0, 0].long()

    assert "right" in exercises.check_writes(fold, small=(3, 5), kernel=4, stride=2, padding=1, dilation=3)
    raises("unanswered", exercises.check_writes, unwritten, small=(3, 5), kernel=4, stride=2)


def unwritten(*given, **how):
    raise NotImplementedError


@pytest.mark.parametrize("widths", [(4,), (2, 3)])
def test_an_autoencoder_that_rounds_up_with_paddings_of_its_own_passes(widths):
    class Network(nn.Module):
        def __init__(self, shape, code, widths):
            super().__init__()
            channels, *size = shape
            down, up = [], []
            for width in widths:
                down += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.ReLU()]
                odd = tuple(n % 2 for n in size)  # kernel 2 makes 2n of n, and with padding and output padding 2n − 1
                up = [nn.ReLU(), nn.ConvTranspose2d(width, channels, 2, stride=2, padding=odd, output_padding=odd), *up]
                channels, size = width, [(n + 1) // 2 for n in size]
            shape = (channels, *size)
            self.down = nn.Sequential(*down, nn.Flatten(), nn.LazyLinear(code))
            self.up = nn.Sequential(nn.Linear(code, channels * size[0] * size[1]), nn.Unflatten(1, shape), *up)

        def encode(self, x):
            return self.down(x)

        def decode(self, z):
            return self.up(z).sigmoid()

        def forward(self, x):
            return self.decode(self.encode(x))

    def build(shape, *, code, widths):
        return Network(shape, code, widths)

    assert "back to (2, 13, 10)" in exercises.check_autoencoder(build, shape=(2, 13, 10), code=3, widths=widths)
    raises("missing", exercises.check_autoencoder, lambda *a, **b: nn.Flatten(), shape=(1, 8, 8), code=2, widths=(2,))


class Two(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encode, self.decoder = encoder, decoder

    def decode(self, z):
        return self.decoder(z).sigmoid()

    def forward(self, x):
        return self.decode(self.encode(x))


def build(shape, *, code, widths, after=(), between=None, end=(), **how):
    """A network of one halving, with some layers as the cases want them; rows and columns are even."""
    maps = (widths[0], shape[1] // 2, shape[2] // 2)
    n = widths[0] * maps[1] * maps[2]
    between = [nn.ReLU(inplace=True)] if between is None else between
    encoder = nn.Sequential(nn.Conv2d(shape[0], widths[0], 4, 2, 1), *after, *between, nn.Flatten(), nn.Linear(n, code))
    up = nn.ConvTranspose2d(widths[0], shape[0], **({"kernel_size": 4, "stride": 2, "padding": 1} | how))
    return Two(encoder, nn.Sequential(nn.Linear(code, n), nn.Unflatten(1, maps), nn.Dropout(), up, *end))


CASE = {"shape": (2, 8, 6), "code": 3, "widths": (4,)}


def test_normalization_dropout_and_an_activation_in_place_are_no_mistakes():
    for after in ([nn.BatchNorm2d(4)], [nn.Dropout(0.5)], [nn.BatchNorm2d(4), nn.Dropout2d(0.5)]):
        assert "right" in exercises.check_autoencoder(lambda s, after=after, **k: build(s, after=after, **k), **CASE)
    network = lambda s, **k: build(s, between=[nn.Tanh()], end=[nn.BatchNorm2d(2), nn.Dropout()], **k)  # noqa: E731
    assert "right" in exercises.check_autoencoder(network, **CASE)


@pytest.mark.parametrize(
    ("mistake", "how"),
    [
        ("activated", {"end": [nn.Sigmoid()]}),
        ("activated", {"end": [nn.ReLU(inplace=True)]}),
        ("linear", {"between": []}),
        ("dilation", {"padding": 3, "output_padding": 1, "dilation": 2}),
    ],
)
def test_what_the_text_asks_of_layers_is_checked(mistake, how):
    raises(mistake, exercises.check_autoencoder, lambda s, **k: build(s, **how, **k), **CASE)


def test_an_error_says_what_it_means_in_this_question():
    def strict(n, layers):
        return [n, n + 2 * layers[0]["padding"] - layers[0]["kernel"] + 1]

    with pytest.raises(Wrong, match="This key may be missing"):
        exercises.check_sizes(strict, n=9, layers=[{"kernel": 3}])
    layer = {"kernel": 3, "stride": 2, "padding": 1}
    case = {"small": (14, 22), "large": (28, 43), **layer}
    with pytest.raises(Wrong, match="return missing"):
        exercises.check_output_paddings(lambda *given, **how: None, **case)
    with pytest.raises(Wrong, match="return missing"):
        exercises.check_even_layer(lambda *given, **how: None, small=13, large=27, stride=2)
    with pytest.raises(Wrong, match=r"Counts are whole"):
        exercises.check_writes(lambda small, **how: torch.ones(2, 2), small=(1, 1), kernel=2, stride=2)
    up = {"kind": "transposed", "channels": 1, "kernel": 3, "stride": 2, "padding": 1, "output_padding": (0, 0)}
    with pytest.raises(Wrong, match="return missing"):
        exercises.check_cost(lambda *given: None, shape=(1, 5, 5), layers=[up])


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch compiles its forward derivatives in an old way
@pytest.mark.parametrize("case", ["smooth", "rectified", "opposed", "mirrored", "faint"])
def test_footprint_accepts_forward_derivatives(case):
    def forward(decode, z, *, row, column):
        found = False
        for channel in range(z.shape[1]):
            cell = torch.zeros_like(z)
            cell[:, channel, row, column] = 1
            found = found | (torch.func.jvp(decode, (z,), (cell,))[1] != 0).any(0).any(0)
        return found

    for seed in range(4):
        assert "right" in exercises.check_footprint(forward, row=1, column=2, case=case, seed=seed)

    def swapped(decode, z, *, row, column):
        return forward(decode, z, row=column, column=row)

    raises("transposed", exercises.check_footprint, swapped, row=1, column=2, case="smooth")


# --- What is compared with ----------------------------------------------------------------------------------------


def test_costs_are_those_that_pytorch_counts():
    up = {"kind": "transposed", "channels": 5, "kernel": 4, "stride": 3, "padding": 1, "output_padding": (2, 0)}
    layers = [{"kind": "conv", "channels": 4, "kernel": 3, "stride": 2, "padding": 1}, up]
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 5, 4, 3, 1, output_padding=(2, 0)))
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 27, 43))
    found = kernels.counted((3, 27, 43), layers)
    assert found["weights"] == models.parameters(network) and 2 * found["count"] == counter.get_total_flops()

    def answer(shape, given):
        return [found["weights"], found["count"]]

    assert "right" in exercises.check_cost(answer, shape=(3, 27, 43), layers=layers)
    raises("transposed", exercises.check_cost, lambda *given: answer(*given)[::-1], shape=(3, 27, 43), layers=layers)


def test_kernels_laid_down_are_the_connections_of_the_courses_layer():
    for kernel, stride, padding, dilation in itertools.product(range(1, 5), range(1, 4), range(2), range(1, 3)):
        for output_padding in range(stride):
            layer = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
            layer["output_padding"] = output_padding
            if 5 * stride + dilation * (kernel - 1) + 1 + output_padding <= 2 * padding:
                continue
            reach = models.reach(6, transposed=True, **layer)
            assert kernels.laid(6, **layer).tolist() == reach.sum(1).tolist()


def test_a_grid_is_even_where_the_stride_divides_the_kernel():
    for kernel, stride in itertools.product(range(1, 13), range(1, 7)):
        assert kernels.even(kernel, stride) == (kernel % stride == 0)

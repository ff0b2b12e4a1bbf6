"""Shape arithmetic of convolutions along one side: how many pixels come out, and which pixels reach which."""

import torch
from torch import Tensor

from aetutor.models.autoencoders import _check_widths


def conv_size(size: int, *, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Pixels along one side after a convolution, or after pooling that rounds down, as it does by default.

    ⌊(size + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1

    size       : int         pixels along that side before, at least 1
    kernel     : int         weights along that side, at least 1
    stride     : int         pixels from one place of the kernel to the next, at least 1
    padding    : int         pixels added at each end
    dilation   : int         pixels from one weight to the next, at least 1
    returns    : int         pixels, at least 1
    raises     : ValueError  if a number is not whole or too small, or the kernel spans more than the padded input
    source     : Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning, arXiv:1603.07285
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    size, kernel, stride, padding, dilation = _whole(size, kernel, stride, padding, dilation)
    room, span = size + 2 * padding, dilation * (kernel - 1) + 1
    if span > room:
        raise ValueError(
            f"a kernel of {kernel} with dilation {dilation} spans {span} pixels, and the input has {room}, padding"
            f" included; expected {room} or fewer: make kernel or dilation smaller, or size or padding larger"
        )
    return (room - span) // stride + 1


def transposed_size(
    size: int, *, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1
) -> int:
    """Pixels along one side after a transposed convolution.

    (size − 1)·stride − 2·padding + dilation·(kernel − 1) + output_padding + 1

    size       : int         pixels along that side before, at least 1
    kernel     : int         weights along that side, at least 1
    stride     : int         pixels of the output from one input pixel's kernel to the next one's, at least 1
    padding    : int         pixels of the output taken away at each end
    output_padding : int     pixels added at the far end alone, fewer than the larger of stride and dilation
    dilation   : int         pixels from one weight to the next, at least 1
    returns    : int         pixels, at least 1
    raises     : ValueError  if a number is not whole or too small, output_padding is too large, or no pixel is left
    source     : Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning, arXiv:1603.07285
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    size, kernel, stride, padding, dilation = _whole(size, kernel, stride, padding, dilation)
    _check_widths([("output_padding", output_padding)], least=0)
    output_padding, most = int(output_padding), max(stride, dilation) - 1
    if output_padding > most:
        raise ValueError(
            f"output_padding is {output_padding} with stride {stride} and dilation {dilation}; expected {most} or less:"
            f" it must be smaller than stride or dilation, so make it smaller or the stride larger"
        )
    laid = (size - 1) * stride + dilation * (kernel - 1) + 1 + output_padding
    if laid <= 2 * padding:
        raise ValueError(
            f"padding {padding} takes {2 * padding} pixels off an output of {laid}; expected at least 1 to be left:"
            f" make padding smaller, or size, kernel or stride larger"
        )
    return laid - 2 * padding


def reach(
    size: int,
    *,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
    transposed: bool = False,
) -> Tensor:
    """Which input pixels reach which output pixels of a layer, along one side.

    size       : int         input pixels I along that side, at least 1
    kernel     : int         weights along that side, at least 1
    stride     : int         at least 1
    padding    : int         of a convolution: added at each end of the input; of a transposed one: taken off the output
    output_padding : int     of a transposed convolution: pixels added at the far end of the output
    dilation   : int         pixels from one weight to the next, at least 1
    transposed : bool        whether the layer is a transposed convolution
    returns    : (O, I)      bool: whether input pixel i reaches output pixel o through a weight
    raises     : ValueError  where `conv_size` or `transposed_size` does, or if a convolution is given an output_padding
    source     : Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning, arXiv:1603.07285
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    how = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    if transposed:
        count = transposed_size(size, output_padding=output_padding, **how)
    elif output_padding != 0:
        raise ValueError(
            f"output_padding is {output_padding!r}, and a convolution has none; expected 0: leave it out, or set"
            f" transposed=True"
        )
    else:
        count = conv_size(size, **how)
    size, kernel, stride, padding, dilation = _whole(size, kernel, stride, padding, dilation)
    # The kernel stands at each output pixel of a convolution, and at each input pixel of a transposed one: at place a
    # its first weight touches pixel a·stride − padding on the other side.
    places, others = (size, count) if transposed else (count, size)
    after = torch.arange(others) + padding - stride * torch.arange(places)[:, None]  # (places, others)
    touched = (after >= 0) & (after <= dilation * (kernel - 1)) & (after % dilation == 0)
    return touched.T.contiguous() if transposed else touched  # (O, I)


def _whole(size, kernel, stride, padding, dilation) -> list[int]:
    _check_widths([("size", size), ("kernel", kernel), ("stride", stride), ("dilation", dilation)])
    _check_widths([("padding", padding)], least=0)
    return list(map(int, (size, kernel, stride, padding, dilation)))  # NumPy's small whole numbers would overflow

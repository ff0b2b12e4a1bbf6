"""A denoiser: an autoencoder without a bottleneck, which has to see through noise instead."""

from collections.abc import Callable

from torch import Tensor, nn

from aetutor.models.autoencoders import _check_widths


class Denoiser(nn.Module):
    """Convolutions over the image folded to half its size: many feature maps, and nothing is squeezed.

    Each 2 × 2 pixels become 4 channels (pixel unshuffle); `depth` convolutions of `width` maps are the code; one more
    gives 4 channels, which unfold to the picture. Working at half size makes it four times as quick, and each
    convolution sees twice as far.

    width      : int         feature maps of the code
    depth      : int         3 × 3 convolutions up to the code, at least 1
    channels   : int         of an image: 1 for grey, 3 for colour
    extra      : int         further channels of the input that say something about the damage, such as its strength
    activation : () -> nn.Module  what stands between two layers
    returns    : nn.Module   call it with noisy (B, C + extra, H, W) for x_hat (B, C, H, W) in [0, 1]; H and W even
    raises     : ValueError  if a width is no whole number, or below 1 (extra: below 0)
    source     : Zhang, Zuo & Zhang 2018, IEEE TIP 27:4608 (FFDNet); no bottleneck: Vincent et al. 2008, ICML
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """

    def __init__(
        self,
        width: int = 32,
        *,
        depth: int = 4,
        channels: int = 1,
        extra: int = 0,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ):
        super().__init__()
        _check_widths([("width", width), ("depth", depth), ("channels", channels)])
        _check_widths([("extra", extra)], least=0)
        width, depth, channels, extra = map(int, (width, depth, channels, extra))
        self.width, self.depth, self.channels, self.extra = width, depth, channels, extra
        ins = [4 * (channels + extra), *[width] * (depth - 1)]
        layers = [part for i in ins for part in (nn.Conv2d(i, width, 3, padding=1), activation())]
        self.encoder = nn.Sequential(nn.PixelUnshuffle(2), *layers)
        self.decoder = nn.Sequential(nn.Conv2d(width, 4 * channels, 3, padding=1), nn.PixelShuffle(2))

    def encode(self, noisy: Tensor) -> Tensor:
        """Image to code, here as many feature maps of half the image's size.

        noisy      : (B, C + extra, H, W)  float; H and W even
        returns    : (B, width, H/2, W/2)
        raises     : ValueError  if noisy is no tensor of the weights' type, or of another shape
        source     : this course
        taught in  : notebooks/04_denoising_and_generation.ipynb
        """
        wanted, wide = next(self.parameters()).dtype, self.channels + self.extra
        if not isinstance(noisy, Tensor) or noisy.dtype != wanted:
            raise ValueError(
                f"encode: got {type(noisy).__name__} {getattr(noisy, 'dtype', '')}; expected a tensor of {wanted}, as"
                " the weights are: runtime.to_unit(pixels) makes float from uint8"
            )
        if noisy.dim() != 4 or noisy.shape[1] != wide or noisy.shape[2] % 2 or noisy.shape[3] % 2:
            raise ValueError(
                f"encode: got images of shape {tuple(noisy.shape)}; expected (B, {wide}, H, W) with even H and W"
                + (f", {self.extra} of the channels beyond the image's own" if self.extra else "")
            )
        if len(noisy) == 0:  # which torch, on a CPU, does not unshuffle (pytorch/pytorch#192816)
            _, _, height, width = noisy.shape
            return self.encoder[1:](noisy.reshape(0, 4 * wide, height // 2, width // 2))
        return self.encoder(noisy)

    def logits(self, z: Tensor) -> Tensor:
        """Code to the decoder's last sums, before the sigmoid.

        z          : (B, width, H/2, W/2)  code
        returns    : (B, C, H, W)  unbounded
        raises     : ValueError    if z has another number of maps
        source     : this course
        taught in  : notebooks/04_denoising_and_generation.ipynb
        """
        if z.dim() != 4 or z.shape[1] != self.width:
            raise ValueError(f"decode: got a code of shape {tuple(z.shape)}; expected (B, {self.width}, H/2, W/2)")
        return self.decoder(z)

    def decode(self, z: Tensor) -> Tensor:
        """Code to image.

        z          : (B, width, H/2, W/2)  code
        returns    : (B, C, H, W)  x_hat, intensity in [0, 1]
        raises     : ValueError    if z has another number of maps
        source     : this course
        taught in  : notebooks/04_denoising_and_generation.ipynb
        """
        return self.logits(z).sigmoid()

    def forward(self, noisy: Tensor) -> Tensor:
        """Noisy image to clean: `decode(encode(noisy))`.

        noisy      : (B, C + extra, H, W)  float; H and W even
        returns    : (B, C, H, W)  x_hat, intensity in [0, 1]
        raises     : ValueError  if noisy is no tensor of the weights' type, or of another shape
        source     : this course
        taught in  : notebooks/04_denoising_and_generation.ipynb
        """
        return self.decode(self.encode(noisy))

"""The variational autoencoder: an encoder that answers with a distribution over codes."""

import torch
from torch import Tensor, nn

from aetutor.models.autoencoders import Autoencoder


class VariationalAutoencoder(Autoencoder):
    """Any autoencoder of the course, whose encoder gives two numbers for each code number: a mean and a log-variance.

    The body's last encoding layer is replaced by one of twice the width; everything else is taken over, weights and
    all. `encode` gives the mean, so that whatever works with an autoencoder works with this one.

    body       : Autoencoder   such as ConvAutoencoder(code=16); its encoder ends in nn.Linear(…, code). Used up
    returns    : nn.Module     call it with x (B, C, H, W) for x_hat (B, C, H, W), decoded from the mean code
    raises     : TypeError     if the body is no Autoencoder whose encoder is a Sequential that ends in a Linear of
                               `code` outputs
    source     : Kingma & Welling 2014, arXiv:1312.6114
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """

    def __init__(self, body: Autoencoder):
        super().__init__()
        last = body.encoder[-1] if isinstance(getattr(body, "encoder", None), nn.Sequential) else None
        if not isinstance(body, Autoencoder) or not isinstance(last, nn.Linear) or last.out_features != body.code:
            found = f"the class {body.__name__}" if isinstance(body, type) else type(body).__name__
            raise TypeError(
                f"body is {found}; expected an Autoencoder whose encoder is an nn.Sequential that ends in"
                " nn.Linear(…, code), such as models.ConvAutoencoder(code=16)"
            )
        self.code, self.shape, self.output = body.code, body.shape, body.output
        like = {"device": last.weight.device, "dtype": last.weight.dtype}
        self.encoder = nn.Sequential(*body.encoder[:-1], nn.Linear(last.in_features, 2 * body.code, **like))
        self.decoder = body.decoder

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Image to the distribution of its code, N(mu, diag exp logvar).

        x          : (B, C, H, W)  float, intensity in [0, 1]
        returns    : (B, Z), (B, Z)  mu and logvar, the natural log of the variance
        raises     : ValueError    if x is no tensor of the weights' type or its shape is not (B, *shape)
        source     : Kingma & Welling 2014, arXiv:1312.6114, section 3
        taught in  : notebooks/05_variational_autoencoder.ipynb
        """
        mu, logvar = super().encode(x).chunk(2, dim=1)
        return mu, logvar

    def encode(self, x: Tensor) -> Tensor:
        """Image to the mean of its code.

        x          : (B, C, H, W)  float, intensity in [0, 1]
        returns    : (B, Z)        mu
        raises     : ValueError    if x is no tensor of the weights' type or its shape is not (B, *shape)
        source     : this course
        taught in  : notebooks/05_variational_autoencoder.ipynb
        """
        return self.posterior(x)[0]

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """New images: codes from N(0, I), decoded.

        count      : int           how many
        generator  : torch.Generator on the CPU, or None for torch's global one
        returns    : (B, C, H, W)  B = count; intensity in [0, 1] if output is "sigmoid"; on the weights' device
        raises     : nothing
        source     : Kingma & Welling 2014, arXiv:1312.6114
        taught in  : notebooks/05_variational_autoencoder.ipynb
        """
        weight = next(self.parameters())
        with torch.no_grad():
            return self.decode(torch.randn(count, self.code, generator=generator).to(weight))

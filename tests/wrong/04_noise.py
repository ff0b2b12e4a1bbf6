# %% q1 mean-of-logs
def psnr_of_set(x_hat, x, *, peak=1.0):
    each = (x_hat.float() - x.float()).square().mean((1, 2, 3))
    return (10 * torch.log10(peak**2 / each)).mean()


# %% q1 natural-log
def psnr_of_set(x_hat, x, *, peak=1.0):
    return 10 * torch.log(peak**2 / (x_hat.float() - x.float()).square().mean())


# %% q1 sign
def psnr_of_set(x_hat, x, *, peak=1.0):
    return 10 * torch.log10((x_hat.float() - x.float()).square().mean() / peak**2)


# %% q1 double
def psnr_of_set(x_hat, x, *, peak=1.0):
    return 20 * torch.log10(peak**2 / (x_hat.float() - x.float()).square().mean())


# %% q1 per-image
def psnr_of_set(x_hat, x, *, peak=1.0):
    return 10 * torch.log10(peak**2 / losses.squared_error(x_hat, x).mean())


# %% q1 shape
def psnr_of_set(x_hat, x, *, peak=1.0):
    return 10 * torch.log10(peak**2 / (x_hat - x).square().mean((1, 2, 3)))


# %% q1 peak hidden
def psnr_of_set(x_hat, x, *, peak=1.0):
    return -10 * torch.log10((x_hat.float() - x.float()).square().mean())


# %% q1 peak-not-squared hidden
def psnr_of_set(x_hat, x, *, peak=1.0):
    return 10 * torch.log10(peak / (x_hat.float() - x.float()).square().mean())


# %% q1 wraps hidden
def psnr_of_set(x_hat, x, *, peak=1.0):
    return 10 * torch.log10(peak**2 / (x_hat - x).float().square().mean())


# %% q1 largest
def psnr_of_set(x_hat, x, *, peak=1.0):
    return 10 * torch.log10(x.max().float() ** 2 / (x_hat.float() - x.float()).square().mean())


# %% q1 fails hidden
def psnr_of_set(x_hat, x, *, peak=1.0):
    return 10 * torch.log10(peak**2 / torch.nn.functional.mse_loss(x_hat, x))


# %% q2 signal
def noise_level(noisy):
    return noisy.std()


# %% q2 no-scale
def noise_level(noisy):
    d = noisy[..., :-1, :-1] - noisy[..., :-1, 1:] - noisy[..., 1:, :-1] + noisy[..., 1:, 1:]
    return (d / 2).abs().median()


# %% q2 kernel
def noise_level(noisy):
    d = noisy[..., :-1, :-1] - noisy[..., :-1, 1:] - noisy[..., 1:, :-1] + noisy[..., 1:, 1:]
    return d.abs().median() / NormalDist().inv_cdf(0.75)


# %% q2 edges
def noise_level(noisy):
    d = noisy[..., :-1, :-1] - noisy[..., :-1, 1:] - noisy[..., 1:, :-1] + noisy[..., 1:, 1:]
    return d.std() / 2


# %% q2 no-abs
def noise_level(noisy):
    d = noisy[..., :-1, :-1] - noisy[..., :-1, 1:] - noisy[..., 1:, :-1] + noisy[..., 1:, 1:]
    return (d / 2).median() / NormalDist().inv_cdf(0.75)


# %% q2 multiplied
def noise_level(noisy):
    d = noisy[..., :-1, :-1] - noisy[..., :-1, 1:] - noisy[..., 1:, :-1] + noisy[..., 1:, 1:]
    return (d / 2).abs().median() * NormalDist().inv_cdf(0.75)


# %% q2 variance
def noise_level(noisy):
    d = noisy[..., :-1, :-1] - noisy[..., :-1, 1:] - noisy[..., 1:, :-1] + noisy[..., 1:, 1:]
    return ((d / 2).abs().median() / NormalDist().inv_cdf(0.75)) ** 2


# %% q2 shape
def noise_level(noisy):
    d = noisy[..., :-1, :-1] - noisy[..., :-1, 1:] - noisy[..., 1:, :-1] + noisy[..., 1:, 1:]
    return (d / 2).abs().flatten(1).median(1).values / NormalDist().inv_cdf(0.75)


# %% q2 fails hidden
def noise_level(noisy):
    d = noisy[..., ::2, ::2] - noisy[..., ::2, 1::2] - noisy[..., 1::2, ::2] + noisy[..., 1::2, 1::2]
    return (d / 2).abs().median() / NormalDist().inv_cdf(0.75)


# %% q2 fails hidden
def noise_level(noisy):
    blocks = noisy.reshape(-1, 1, 32, 32)
    d = blocks[..., :-1, :-1] - blocks[..., :-1, 1:] - blocks[..., 1:, :-1] + blocks[..., 1:, 1:]
    return (d / 2).abs().median() / NormalDist().inv_cdf(0.75)


# %% q3 whole-image
def clipped_noise_level(stored, *, border):
    d = stored[..., ::2, ::2] - stored[..., 1::2, ::2] - stored[..., ::2, 1::2] + stored[..., 1::2, 1::2]
    return (d / 2).abs().median() / NormalDist().inv_cdf(0.75)


# %% q3 clipped
def clipped_noise_level(stored, *, border):
    rows = torch.cat([stored[..., :border, :], stored[..., -border:, :]], 2).flatten()
    columns = torch.cat([stored[..., :border], stored[..., -border:]], 3).flatten()
    return torch.cat([rows, columns]).std()


# %% q3 half
def clipped_noise_level(stored, *, border):
    frame = torch.ones(stored.shape[-2:], dtype=torch.bool)
    frame[border:-border, border:-border] = False
    return stored[..., frame].square().mean().sqrt()


# %% q3 folded
def clipped_noise_level(stored, *, border):
    frame = torch.ones(stored.shape[-2:], dtype=torch.bool)
    frame[border:-border, border:-border] = False
    return stored[..., frame].mean() * (torch.pi / 2) ** 0.5


# %% q3 clipped-top hidden
def clipped_noise_level(stored, *, border):
    frame = torch.ones(stored.shape[-2:], dtype=torch.bool)
    frame[border:-border, border:-border] = False
    return stored[..., frame].mean() * (2 * torch.pi) ** 0.5


# %% q3 clipped-square hidden
def clipped_noise_level(stored, *, border):
    frame = torch.ones(stored.shape[-2:], dtype=torch.bool)
    frame[border:-border, border:-border] = False
    return (2 * stored[..., frame].square().mean()).sqrt()


# %% q3 too-high hidden
def clipped_noise_level(stored, *, border):
    dark = torch.cat([stored[..., :2, :].flatten(), stored[..., -2:, :].flatten()])
    return dark.quantile(0.75) / NormalDist().inv_cdf(0.75)


# %% q3 too-low
def clipped_noise_level(stored, *, border):
    frame = torch.ones(stored.shape[-2:], dtype=torch.bool)
    frame[border:-border, border:-border] = False
    return stored[..., frame].double().quantile(0.55).item() / NormalDist().inv_cdf(0.6)


# %% q4 unknown-name
def kind_of_noise(stored):
    return "poisson"


# %% q4 type
def kind_of_noise(stored):
    return ["gaussian", "salt-and-pepper", "masking", "shot"].index("gaussian")


# %% q4 dark-values
def kind_of_noise(stored):
    if (stored[..., :2, :] > 0).float().mean() > 0.02:
        return "gaussian"
    return "masking" if (stored[..., 10:18, 10:18] == 0).float().mean() > 0.5 else "shot"


# %% q4 bright-values
def kind_of_noise(stored):
    dark = stored[..., :2, :]
    if (dark > 0).float().mean() > 0.02:
        return "salt-and-pepper" if dark[dark > 0].min() == 1 else "gaussian"
    return "masking"


# %% q4 dark-or-not
def kind_of_noise(stored):
    if len(stored.unique()) <= 256:
        return "salt-and-pepper" if (stored == 1).float().mean() > 0.02 else "masking"
    return "gaussian"


# %% q4 dark-values hidden
def kind_of_noise(stored):
    dark = stored[..., :2, :]
    if (dark > 0).float().mean() > 0.02:
        return "salt-and-pepper" if (dark == 1).float().mean() > 0.001 else "gaussian"
    beside = (stored[..., 1:-1, :-2] > 0.5) & (stored[..., 1:-1, 2:] > 0.5)
    return "masking" if (stored[..., 1:-1, 1:-1][beside] == 0).float().mean() > 0.04 else "shot"


# %% q4 bright-values hidden
def kind_of_noise(stored):
    dark = stored[..., :2, :]
    if (dark > 0).float().mean() > 0.02:
        return "salt-and-pepper" if (dark[dark > 0] == 1).float().mean() > 0.8 else "gaussian"
    return "masking" if (stored > 0).float().mean() < 0.14 else "shot"


# %% q5 offset
def unbiased_risk(denoise, noisy, *, sigma, generator):
    b = 2.0 * torch.randint(2, noisy.shape, generator=generator) - 1
    x_hat = denoise(noisy)
    slope = (b * (denoise(noisy + 1e-3 * b) - x_hat) / 1e-3).mean()
    return (x_hat - noisy).square().mean() + 2 * sigma**2 * slope


# %% q5 no-gradient
def unbiased_risk(denoise, noisy, *, sigma, generator):
    y = noisy.clone().requires_grad_()
    b = 2.0 * torch.randint(2, noisy.shape, generator=generator) - 1
    x_hat = denoise(y)
    (slope,) = torch.autograd.grad((b * x_hat).sum(), y)
    return (x_hat - noisy).square().mean() - sigma**2 + 2 * sigma**2 * (b * slope).mean()


# %% q5 divergence-sum
def unbiased_risk(denoise, noisy, *, sigma, generator):
    b = 2.0 * torch.randint(2, noisy.shape, generator=generator) - 1
    x_hat = denoise(noisy)
    slope = (b * (denoise(noisy + 1e-3 * b) - x_hat) / 1e-3).sum()
    return (x_hat - noisy).square().mean() - sigma**2 + 2 * sigma**2 * slope


# %% q5 divergence-pixels
def unbiased_risk(denoise, noisy, *, sigma, generator):
    b = 2.0 * torch.randint(2, noisy.shape, generator=generator) - 1
    x_hat = denoise(noisy)
    slope = (b * (denoise(noisy + 1e-3 * b) - x_hat) / 1e-3).sum((1, 2, 3)).mean()
    return (x_hat - noisy).square().mean() - sigma**2 + 2 * sigma**2 * slope


# %% q5 clipped
def unbiased_risk(denoise, noisy, *, sigma, generator):
    noisy = noisy.clamp(0, 1)
    b = 2.0 * torch.randint(2, noisy.shape, generator=generator) - 1
    x_hat = denoise(noisy)
    slope = (b * (denoise(noisy + 1e-3 * b) - x_hat) / 1e-3).mean()
    return (x_hat - noisy).square().mean() - sigma**2 + 2 * sigma**2 * slope


# %% q5 no-divergence
def unbiased_risk(denoise, noisy, *, sigma, generator):
    return (denoise(noisy) - noisy).square().mean() - sigma**2


# %% q5 no-divergence
def unbiased_risk(denoise, noisy, *, sigma, generator):
    b = 2.0 * torch.randint(2, noisy.shape, generator=generator) - 1
    x_hat = denoise(noisy)
    slope = (b * (denoise(noisy + 1e-12 * b) - x_hat) / 1e-12).mean()
    return (x_hat - noisy).square().mean() - sigma**2 + 2 * sigma**2 * slope


# %% q5 once
def unbiased_risk(denoise, noisy, *, sigma, generator):
    b = 2.0 * torch.randint(2, noisy.shape, generator=generator) - 1
    x_hat = denoise(noisy)
    slope = (b * (denoise(noisy + 1e-3 * b) - x_hat) / 1e-3).mean()
    return (x_hat - noisy).square().mean() - sigma**2 + sigma**2 * slope


# %% q5 once
def unbiased_risk(denoise, noisy, *, sigma, generator):
    b = torch.randint(2, noisy.shape, generator=generator).float()
    x_hat = denoise(noisy)
    slope = (b * (denoise(noisy + 1e-3 * b) - x_hat) / 1e-3).mean()
    return (x_hat - noisy).square().mean() - sigma**2 + 2 * sigma**2 * slope


# %% q5 sigma-not-squared
def unbiased_risk(denoise, noisy, *, sigma, generator):
    b = 2.0 * torch.randint(2, noisy.shape, generator=generator) - 1
    x_hat = denoise(noisy)
    slope = (b * (denoise(noisy + 1e-3 * b) - x_hat) / 1e-3).mean()
    return (x_hat - noisy).square().mean() - sigma + 2 * sigma * slope


# %% q5 pixels
def unbiased_risk(denoise, noisy, *, sigma, generator):
    b = 2.0 * torch.randint(2, noisy.shape, generator=generator) - 1
    x_hat = denoise(noisy)
    slope = b * (denoise(noisy + 1e-3 * b) - x_hat) / 1e-3
    return ((x_hat - noisy).square() - sigma**2 + 2 * sigma**2 * slope).flatten(1).sum(1).mean()


# %% q5 in-place
def unbiased_risk(denoise, noisy, *, sigma, generator):
    b = 2.0 * torch.randint(2, noisy.shape, generator=generator) - 1
    x_hat = denoise(noisy)
    changed = (x_hat - noisy).square().mean()
    slope = (b * (denoise(noisy.add_(1e-3 * b)) - x_hat) / 1e-3).mean()
    return changed - sigma**2 + 2 * sigma**2 * slope


# %% q5 generator
def unbiased_risk(denoise, noisy, *, sigma, generator):
    b = torch.randn_like(noisy)
    x_hat = denoise(noisy)
    slope = (b * (denoise(noisy + 1e-3 * b) - x_hat) / 1e-3).mean()
    return (x_hat - noisy).square().mean() - sigma**2 + 2 * sigma**2 * slope


# %% q5 probe hidden
def unbiased_risk(denoise, noisy, *, sigma, generator):
    x_hat = denoise(noisy)
    slope = ((denoise(noisy + 1e-3) - x_hat) / 1e-3).mean()
    return (x_hat - noisy).square().mean() - sigma**2 + 2 * sigma**2 * slope


# %% q6 type
def camera_settings(noisy, clean):
    return noisy[..., :2, :].std()


# %% q6 signal
def camera_settings(noisy, clean):
    sigma = noisy.std()
    return sigma, clean.mean() / (noisy.square().mean() - clean.square().mean() - sigma**2)


# %% q6 total
def camera_settings(noisy, clean):
    sigma = (noisy.var() - clean.var()).sqrt()
    return sigma, clean.mean() / sigma**2


# %% q6 variance
def camera_settings(noisy, clean):
    variance = noisy[..., :2, :].var()
    return variance, clean.mean() / (noisy.square().mean() - clean.square().mean() - variance)


# %% q6 read-noise
def camera_settings(noisy, clean):
    return noisy[..., :2, :].std(), clean.mean() / (noisy.square().mean() - clean.square().mean())


# %% q6 inverse
def camera_settings(noisy, clean):
    sigma = noisy[..., :2, :].std()
    return sigma, (noisy.square().mean() - clean.square().mean() - sigma**2) / clean.mean()


# %% q6 mean
def camera_settings(noisy, clean):
    sigma = noisy[..., :2, :].std()
    return sigma, 1 / (noisy.square().mean() - clean.square().mean() - sigma**2)


# %% q6 square-of-mean
def camera_settings(noisy, clean):
    sigma = noisy[..., :2, :].std()
    return sigma, clean.mean() / (noisy.square().mean() - clean.mean() ** 2 - sigma**2)


# %% q6 swapped
def camera_settings(noisy, clean):
    sigma = noisy[..., :2, :].std()
    return clean.mean() / (noisy.square().mean() - clean.square().mean() - sigma**2), sigma


# %% q6 too-low hidden
def camera_settings(noisy, clean):
    return noisy[..., :2, :].std(), clean.mean() / (noisy.square().mean() - clean.square().mean() - 0.1**2)


# %% q6 not-robust
def camera_settings(noisy, clean):
    frame = torch.ones(noisy.shape[-2:], dtype=torch.bool)
    frame[2:-2, 2:-2] = False
    sigma = noisy[..., frame].std()
    return sigma, clean.mean() / (noisy.square().mean() - clean.square().mean() - sigma**2)


# %% q6 too-high hidden
def camera_settings(noisy, clean):
    sigma = noisy[..., :2, :].std()
    ink = clean.sum() / len(clean) / 784
    return sigma, ink / (noisy.square().mean() - clean.square().mean() - sigma**2)


# %% q7 type
def trained_denoiser(damage, clean):
    return damage(clean[:64])


# %% q7 no-damage
def trained_denoiser(damage, clean):
    network = models.Denoiser(width=8, depth=2)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for x in clean[:1280].split(64):
        optimiser.zero_grad()
        losses.squared_error(network(x), x).mean().backward()
        optimiser.step()
    return network


# %% q7 copies
def trained_denoiser(damage, clean):
    network = models.Denoiser(width=16, depth=3)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for x in clean.repeat(3, 1, 1, 1).split(64):
        noisy = damage(x)
        optimiser.zero_grad()
        losses.binary_cross_entropy(network.logits(network.encode(noisy)), noisy.clamp(0, 1)).mean().backward()
        optimiser.step()
    return network


# %% q7 logits
def trained_denoiser(damage, clean):
    network = models.Denoiser(width=8, depth=2)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for x in clean[:3200].split(64):
        optimiser.zero_grad()
        losses.binary_cross_entropy(network.logits(network.encode(damage(x))), x).mean().backward()
        optimiser.step()
    return lambda noisy: network.logits(network.encode(noisy))


# %% q7 one-noise
def trained_denoiser(damage, clean):
    network = models.Denoiser(width=16, depth=3)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    x = clean[:16]
    noisy = damage(x)
    for _ in range(150):
        optimiser.zero_grad()
        losses.binary_cross_entropy(network.logits(network.encode(noisy)), x).mean().backward()
        optimiser.step()
    return network


# %% q7 one-noise
def trained_denoiser(damage, clean):
    network = models.Denoiser(width=16, depth=3)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    noisy = damage(clean)
    for _ in range(40):
        at = torch.randint(len(clean), (64,))
        optimiser.zero_grad()
        losses.binary_cross_entropy(network.logits(network.encode(noisy[at])), clean[at]).mean().backward()
        optimiser.step()
    return network.eval()


# %% q7 one-noise
def trained_denoiser(damage, clean):
    network = models.Denoiser(width=16, depth=3)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    damage(clean[:1])
    for x in clean[:2560].split(64):
        noisy = x + 0.3 * torch.randn_like(x)
        optimiser.zero_grad()
        losses.binary_cross_entropy(network.logits(network.encode(noisy)), x).mean().backward()
        optimiser.step()
    return network.eval()


# %% q7 too-weak
def trained_denoiser(damage, clean):
    network = models.Denoiser(width=16, depth=3)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for x in clean.split(64):
        optimiser.zero_grad()
        losses.binary_cross_entropy(network.logits(network.encode(damage(x))), x).mean().backward()
        optimiser.step()
    return network.eval()


# %% q7 too-weak hidden
def trained_denoiser(damage, clean):
    network = models.Denoiser(width=16, depth=3)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(200):
        x = clean[torch.randint(len(clean), (64,))]
        damage(x)
        noisy = camera(x, sigma=0.15, peak=3.5)
        optimiser.zero_grad()
        losses.binary_cross_entropy(network.logits(network.encode(noisy)), x).mean().backward()
        optimiser.step()
    return network.eval()


# %% q7 constant
def trained_denoiser(damage, clean):
    network = models.DenseAutoencoder(code=2)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4)
    for x in clean[:640].split(64):
        optimiser.zero_grad()
        losses.squared_error(network(damage(x)), x).mean().backward()
        optimiser.step()
    return network


# %% q7 batch-dependent hidden
def trained_denoiser(damage, clean):
    layers = [torch.nn.PixelUnshuffle(2)]
    for ins in (4, 16, 16):
        layers += [torch.nn.Conv2d(ins, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.SiLU()]
    layers += [torch.nn.Conv2d(16, 4, 3, padding=1), torch.nn.PixelShuffle(2), torch.nn.Sigmoid()]
    network = torch.nn.Sequential(*layers)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(150):
        x = clean[torch.randint(len(clean), (64,))]
        optimiser.zero_grad()
        losses.squared_error(network(damage(x)), x).mean().backward()
        optimiser.step()
    return network


# %% q7 fails hidden
def trained_denoiser(damage, clean):
    network = models.Denoiser(width=16, depth=3)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(150):
        x = clean[torch.randint(len(clean), (64,))]
        optimiser.zero_grad()
        losses.binary_cross_entropy(network.logits(network.encode(damage(x))), x).mean().backward()
        optimiser.step()
    return lambda noisy: network(noisy.view(-1, 1, 28, 28))

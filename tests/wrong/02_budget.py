# ruff: noqa: F811, F821 (each cell runs with the names of the notebook before its question)

# %% q1 wraps
def leaks(train, valid, *, tolerance=0):
    found = [i for i, image in enumerate(valid) if ((train - image).flatten(1).amax(1) <= tolerance).any()]
    return torch.tensor(found, dtype=torch.int64)


# %% q1 mean
def leaks(train, valid, *, tolerance=0):
    rows = train.float().flatten(1)
    apart = torch.stack([(rows - image).abs().mean(1).min() for image in valid.float().flatten(1)])
    return (apart <= tolerance).nonzero()[:, 0]


# %% q1 tolerance
def leaks(train, valid, *, tolerance=0):
    known = {image.cpu().numpy().tobytes() for image in train}
    found = [i for i, image in enumerate(valid) if image.cpu().numpy().tobytes() in known]
    return torch.tensor(found, dtype=torch.int64)


# %% q1 sum
def leaks(train, valid, *, tolerance=0):
    return torch.isin(valid.flatten(1).sum(1), train.flatten(1).sum(1)).nonzero()[:, 0]


# %% q1 repeated
def leaks(train, valid, *, tolerance=0):
    apart = (valid.int()[:, None] - train.int()[None]).abs().flatten(2).amax(2)
    return (apart <= tolerance).nonzero()[:, 0]


# %% q1 mask
def leaks(train, valid, *, tolerance=0):
    apart = (valid.int()[:, None] - train.int()[None]).abs().flatten(2).amax(2)
    return (apart <= tolerance).any(1)


# %% q1 training
def leaks(train, valid, *, tolerance=0):
    apart = (valid.int()[:, None] - train.int()[None]).abs().flatten(2).amax(2)
    return (apart <= tolerance).any(0).nonzero()[:, 0]


# %% q1 fails
def leaks(train, valid, *, tolerance=0):
    return ((train.int() - valid.int()).abs().flatten(1).amax(1) <= tolerance).nonzero()[:, 0]


# %% q1 empty hidden
def leaks(train, valid, *, tolerance=0):
    found = []
    for i, image in enumerate(valid.int()):
        if ((train.int() - image).abs().flatten(1).amax(1) <= tolerance).any():
            found.append(i)
    return torch.tensor(found)


# %% q1 fails hidden
def leaks(train, valid, *, tolerance=0):
    rows = train.int().reshape(len(train), 30)
    images = valid.int().reshape(len(valid), 30)
    return (torch.stack([(rows - x).abs().amax(1).min() for x in images]) <= tolerance).nonzero()[:, 0]


# %% q1 wraps
def leaks(train, valid, *, tolerance=0):
    found = [torch.minimum(train - image, image - train).flatten(1).amax(1).amin() <= tolerance for image in valid]
    return torch.stack(found).nonzero()[:, 0]


# %% q1 wraps
def leaks(train, valid, *, tolerance=0):
    rows = train.to(torch.int8)
    found = [(rows - image).abs().flatten(1).amax(1).amin() <= tolerance for image in valid.to(torch.int8)]
    return torch.stack(found).nonzero()[:, 0]


# %% q1 missed
def leaks(train, valid, *, tolerance=0):
    rows = train / 255
    found = [(rows - image).abs().flatten(1).amax(1).amin() <= tolerance / 255 for image in valid / 255]
    return torch.stack(found).nonzero()[:, 0]


# %% q1 strict
def leaks(train, valid, *, tolerance=0):
    found = [(train.int() - image).abs().flatten(1).amax(1).amin() < tolerance for image in valid.int()]
    return torch.stack(found).nonzero()[:, 0]


# %% q1 value
def leaks(train, valid, *, tolerance=0):
    found = [(train.int() - image).abs().flatten(1).amin(1).amin() <= tolerance for image in valid.int()]
    return torch.stack(found).nonzero()[:, 0]


# %% q2 alias
def idle(model, step, *, steps=3):
    before = dict(model.named_parameters())
    for _ in range(steps):
        step()
    still = {name: p for name, p in model.named_parameters() if torch.equal(p, before[name])}
    return {name: "no gradient" if p.grad is None or not p.grad.any() else "no step" for name, p in still.items()}


# %% q2 type
def idle(model, step, *, steps=3):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(steps):
        step()
    return [name for name, p in model.named_parameters() if torch.equal(p, before[name])]


# %% q2 frozen
def idle(model, step, *, steps=3):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(steps):
        step()
    still = {name: p for name, p in model.named_parameters() if torch.equal(p, before[name])}
    return {name: "no gradient" if p.grad is None or not p.grad.any() else "no step" for name, p in still.items()}


# %% q2 reason
def idle(model, step, *, steps=3):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(steps):
        step()
    still = {name for name, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[name])}
    return dict.fromkeys(still, "no gradient")


# %% q2 missed
def idle(model, step, *, steps=3):
    for _ in range(steps):
        step()
    return {name: "no gradient" for name, p in model.named_parameters() if p.requires_grad and p.grad is None}


# %% q2 steps
def idle(model, step, *, steps=3):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    step()
    still = {n: p for n, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[n])}
    return {name: "no gradient" if p.grad is None or not p.grad.any() else "no step" for name, p in still.items()}


# %% q2 tolerance hidden
def idle(model, step, *, steps=3):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(steps):
        step()
    still = {n: p for n, p in model.named_parameters() if p.requires_grad and torch.allclose(p, before[n])}
    return {name: "no gradient" if p.grad is None or not p.grad.any() else "no step" for name, p in still.items()}


# %% q2 reason hidden
def idle(model, step, *, steps=3):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(steps):
        step()
    still = {n: p for n, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[n])}
    return {name: "no gradient" if p.grad is None else "no step" for name, p in still.items()}


# %% q2 steps hidden
def idle(model, step, *, steps=3):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(3):
        step()
    still = {n: p for n, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[n])}
    return {name: "no gradient" if p.grad is None or not p.grad.any() else "no step" for name, p in still.items()}


# %% q2 mode
def idle(model, step, *, steps=3):
    model.eval()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(steps):
        step()
    still = {n: p for n, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[n])}
    return {name: "no gradient" if p.grad is None or not p.grad.any() else "no step" for name, p in still.items()}


# %% q2 element hidden
def idle(model, step, *, steps=3):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(steps):
        step()
    still = {n: p for n, p in model.named_parameters() if p.requires_grad and (p == before[n]).any()}
    return {name: "no gradient" if p.grad is None or not p.grad.any() else "no step" for name, p in still.items()}


# %% q2 sum hidden
def idle(model, step, *, steps=3):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(steps):
        step()
    still = {n: p for n, p in model.named_parameters() if p.requires_grad and p.sum() == before[n].sum()}
    return {name: "no gradient" if p.grad is None or not p.grad.any() else "no step" for name, p in still.items()}


# %% q2 sum hidden
def idle(model, step, *, steps=3):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(steps):
        step()
    still = {n: p for n, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[n])}
    return {name: "no gradient" if p.grad is None or not p.grad.sum() else "no step" for name, p in still.items()}


# %% q2 steps hidden
def idle(model, step, *, steps=3):
    for _ in range(steps):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        step()
    still = {n: p for n, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[n])}
    return {name: "no gradient" if p.grad is None or not p.grad.any() else "no step" for name, p in still.items()}


# %% q3 columns
def aligned(inputs, targets):
    a, b = (part.flatten(1) - part.flatten(1).mean(dim=1, keepdim=True) for part in (inputs, targets))
    r = (a @ b.T) / a.norm(dim=1)[:, None] / b.norm(dim=1)
    return (r.argmax(dim=0) == torch.arange(len(r), device=r.device)).float().mean().item()


# %% q3 batch
def aligned(inputs, targets):
    a, b = (part.flatten(1) - part.flatten(1).mean(dim=1, keepdim=True) for part in (inputs, targets))
    r = (a @ b.T) / a.norm(dim=1)[:, None] / b.norm(dim=1)
    return (r.argmax(dim=1) == torch.arange(len(r), device=r.device)).sum().item()


# %% q3 value
def aligned(inputs, targets):
    a, b = (part.flatten(1) - part.flatten(1).mean(dim=1, keepdim=True) for part in (inputs, targets))
    own = (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1)
    return (own > 0.5).float().mean().item()


# %% q3 distance
def aligned(inputs, targets):
    nearest = torch.cdist(inputs.flatten(1), targets.flatten(1)).argmin(dim=1)
    return (nearest == torch.arange(len(inputs), device=inputs.device)).float().mean().item()


# %% q3 cosine hidden
def aligned(inputs, targets):
    a, b = (nn.functional.normalize(part.flatten(1), dim=1) for part in (inputs, targets))
    return ((a @ b.T).argmax(dim=1) == torch.arange(len(a), device=a.device)).float().mean().item()


# %% q3 blank hidden
def aligned(inputs, targets):
    a, b = (part.flatten(1) - part.flatten(1).mean(dim=1, keepdim=True) for part in (inputs, targets))
    r = torch.nan_to_num((a @ b.T) / a.norm(dim=1)[:, None] / b.norm(dim=1))
    return (r.argmax(dim=1) == torch.arange(len(r), device=r.device)).float().mean().item()


# %% q3 nan hidden
def aligned(inputs, targets):
    a, b = (part.flatten(1) - part.flatten(1).mean(dim=1, keepdim=True) for part in (inputs, targets))
    r = (a @ b.T) / a.norm(dim=1)[:, None] / b.norm(dim=1)
    own = r.diagonal()
    return ((own >= r.amax(dim=1)) & (own > 1e-6)).float().mean().item()


# %% q3 nan hidden
def aligned(inputs, targets):
    a, b = (part.flatten(1) - part.flatten(1).mean(dim=1, keepdim=True) for part in (inputs, targets))
    r = (a @ b.T) / a.norm(dim=1)[:, None] / b.norm(dim=1)
    return (r.argmax(dim=1) == torch.arange(len(r), device=r.device)).float().mean().item()


# %% q3 channels hidden
def aligned(inputs, targets):
    a, b = ((part - part.mean(dim=(2, 3), keepdim=True)).flatten(1) for part in (inputs, targets))
    a, b = (nn.functional.normalize(part, dim=1, eps=1e-6) for part in (a, b))
    own = (a @ b.T).diagonal()
    return ((own >= (a @ b.T).amax(dim=1)) & (own > 1e-6)).float().mean().item()


# %% q4 scaled-twice
def train_step(model, optimiser, batch):
    x = batch / 255 / 255
    loss = (model.decode(model.encode(x)) - x).square().sum() / len(x)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


# %% q4 detached
def train_step(model, optimiser, batch):
    x = batch / 255
    loss = (model.decode(model.encode(x).detach()) - x).square().sum() / len(x)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


# %% q4 pixels
def train_step(model, optimiser, batch):
    x = batch / 255
    loss = nn.functional.mse_loss(model.decode(model.encode(x)), x)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


# %% q4 not-cleared
def train_step(model, optimiser, batch):
    x = batch / 255
    loss = (model.decode(model.encode(x)) - x).square().sum() / len(x)
    loss.backward()
    optimiser.step()
    return loss.item()


# %% q4 no-step
def train_step(model, optimiser, batch):
    x = batch / 255
    loss = (model.decode(model.encode(x)) - x).square().sum() / len(x)
    loss.backward()
    optimiser.zero_grad()
    optimiser.step()
    return loss.item()


# %% q4 type
def train_step(model, optimiser, batch):
    x = batch / 255
    loss = (model.decode(model.encode(x)) - x).square().sum() / len(x)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss


# %% q4 not-cleared hidden
def train_step(model, optimiser, batch):
    x = batch / 255
    loss = (model.decode(model.encode(x)) - x).square().sum() / len(x)
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()
    return loss.item()


# %% q4 fixed-batch hidden
def train_step(model, optimiser, batch):
    x = batch / 255
    loss = (model.decode(model.encode(x)) - x).square().sum() / 8
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


# %% q4 two-steps
def train_step(model, optimiser, batch):
    x = batch / 255
    optimiser.zero_grad()
    loss = (model.decode(model.encode(x)) - x).square().sum() / len(x)
    loss.backward()
    optimiser.step()
    optimiser.step()
    return loss.item()


# %% q4 own-optimiser
def train_step(model, optimiser, batch):
    x = batch / 255
    optimiser = torch.optim.Adam(model.parameters())
    optimiser.zero_grad()
    loss = (model.decode(model.encode(x)) - x).square().sum() / len(x)
    loss.backward()
    optimiser.step()
    return loss.item()


# %% q5 missed
def name_fault(evidence):
    if evidence["error"] < evidence["floor"]:
        return "none"
    if evidence["aligned"] < 0.5:
        return "other order"
    if evidence["idle"]:
        return "cut graph" if "no gradient" in evidence["idle"].values() else "left out"
    return "large rate" if evidence["cleared"] else "not cleared"


# %% q5 confused
def name_fault(evidence):
    if evidence["copies"]:
        return "leak"
    if evidence["brightest"] < 0.1:
        return "scaled twice"
    if evidence["error"] > evidence["floor"]:
        return "large rate"
    if evidence["aligned"] < 0.5:
        return "other order"
    if evidence["idle"]:
        return "cut graph" if "no gradient" in evidence["idle"].values() else "left out"
    return "none" if evidence["cleared"] else "not cleared"


# %% q5 unknown
def name_fault(evidence):
    if evidence["copies"]:
        return "copies"
    return "none"


# %% q5 false-alarm hidden
def name_fault(evidence):
    if evidence["copies"]:
        return "leak"
    if evidence["brightest"] != 1.0:
        return "scaled twice"
    if evidence["aligned"] < 0.5:
        return "other order"
    if evidence["idle"]:
        return "cut graph" if "no gradient" in evidence["idle"].values() else "left out"
    if not evidence["cleared"]:
        return "not cleared"
    return "large rate" if evidence["error"] > evidence["floor"] else "none"


# %% q5 missed hidden
def name_fault(evidence):
    if evidence["copies"] > 10:
        return "leak"
    if evidence["brightest"] < 0.1:
        return "scaled twice"
    if evidence["aligned"] < 0.5:
        return "other order"
    if evidence["idle"]:
        return "cut graph" if "no gradient" in evidence["idle"].values() else "left out"
    if not evidence["cleared"]:
        return "not cleared"
    return "large rate" if evidence["error"] > evidence["floor"] else "none"


# %% q5 confused hidden
def name_fault(evidence):
    if evidence["copies"]:
        return "leak"
    if evidence["brightest"] < 0.1:
        return "scaled twice"
    if evidence["aligned"] < 0.5:
        return "other order"
    if any("encoder" in name for name in evidence["idle"]):
        return "cut graph"
    if any("decoder" in name for name in evidence["idle"]):
        return "left out"
    if not evidence["cleared"]:
        return "not cleared"
    return "large rate" if evidence["error"] > evidence["floor"] else "none"


# %% q5 play hidden
def name_fault(evidence):
    if evidence["copies"]:
        return "leak"
    if evidence["brightest"] < 0.1:
        return "scaled twice"
    if evidence["aligned"] < 1.0:
        return "other order"
    if evidence["idle"]:
        return "cut graph" if "no gradient" in evidence["idle"].values() else "left out"
    if not evidence["cleared"]:
        return "not cleared"
    return "large rate" if evidence["error"] > evidence["floor"] else "none"


# %% q5 false-alarm hidden
def name_fault(evidence):
    if evidence["copies"]:
        return "leak"
    if evidence["error"] < 1e-4:
        return "scaled twice"
    if evidence["aligned"] < 0.5:
        return "other order"
    if evidence["idle"]:
        return "cut graph" if "no gradient" in evidence["idle"].values() else "left out"
    if not evidence["cleared"]:
        return "not cleared"
    return "large rate" if evidence["error"] > evidence["floor"] else "none"


# %% q6 one-more
def pca_numbers_needed(train, valid, *, budget):
    a, b = (part.flatten(1).double() / 255 for part in (train, valid))
    v = torch.linalg.svd(a - a.mean(0), full_matrices=False)[2][: len(a) - 1]
    gone = ((b - a.mean(0)) @ v.T).square().mean(0).cumsum(0)
    left = (b - a.mean(0)).square().sum(1).mean() - gone
    for k, error in enumerate(left / a.shape[1], 1):
        if error <= budget:
            return k + 1
    raise ValueError("no code is enough")


# %% q6 train
def pca_numbers_needed(train, valid, *, budget):
    a = train.flatten(1).double() / 255
    values = torch.linalg.eigvalsh((a - a.mean(0)).T @ (a - a.mean(0)) / len(a)).flip(0)
    for k in range(min(len(a) - 1, a.shape[1]) + 1):
        if values[k:].sum() / a.shape[1] <= budget:
            return k
    raise ValueError("no code is enough")


# %% q6 own-mean
def pca_numbers_needed(train, valid, *, budget):
    a, b = (part.flatten(1).double() / 255 for part in (train, valid))
    a, b = a - a.mean(0), b - b.mean(0)
    v = torch.linalg.svd(a, full_matrices=False)[2][: len(a) - 1]
    for k in range(len(v) + 1):
        if (b - b @ v[:k].T @ v[:k]).square().mean() <= budget:
            return k
    raise ValueError("no code is enough")


# %% q6 not-centred
def pca_numbers_needed(train, valid, *, budget):
    a, b = (part.flatten(1).double() / 255 for part in (train, valid))
    v = torch.linalg.svd(a, full_matrices=False)[2]
    for k in range(len(v) + 1):
        if (b - b @ v[:k].T @ v[:k]).square().mean() <= budget:
            return k
    raise ValueError("no code is enough")


# %% q6 per-image
def pca_numbers_needed(train, valid, *, budget):
    a, b = (part.flatten(1).double() / 255 for part in (train, valid))
    v = torch.linalg.svd(a - a.mean(0), full_matrices=False)[2][: len(a) - 1]
    b = b - a.mean(0)
    errors = [(b - b @ v[:k].T @ v[:k]).square().sum(1).mean() for k in range(len(v) + 1)]
    return next((k for k, error in enumerate(errors) if error <= budget), -1)


# %% q6 value hidden
def pca_numbers_needed(train, valid, *, budget):
    a, b = (part.flatten(1).double() / 255 for part in (train, valid))
    v = torch.linalg.svd(a - a.mean(0), full_matrices=False)[2][: len(a) - 1]
    b = b - a.mean(0)
    for k in range(1, len(v) + 1):
        if (b - b @ v[:k].T @ v[:k]).square().mean() <= budget:
            return k
    raise ValueError("no code is enough")


# %% q6 unreachable hidden
def pca_numbers_needed(train, valid, *, budget):
    a, b = (part.flatten(1).double() / 255 for part in (train, valid))
    v = torch.linalg.svd(a - a.mean(0), full_matrices=False)[2][: len(a) - 1]
    b = b - a.mean(0)
    k = 0
    while k < len(v) and (b - b @ v[:k].T @ v[:k]).square().mean() > budget:
        k += 1
    return k


# %% q6 unmet
def pca_numbers_needed(train, valid, *, budget):
    a, b = (part.flatten(1).double() / 255 for part in (train, valid))
    v = torch.linalg.eigh((a - a.mean(0)).T @ (a - a.mean(0)))[1][:, : len(a) - 1]  # ascending
    b = b - a.mean(0)
    for k in range(v.shape[1] + 1):
        if (b - b @ v[:, :k] @ v[:, :k].T).square().mean() <= budget:
            return k
    raise ValueError("not enough")


# %% q6 unmet
def pca_numbers_needed(train, valid, *, budget):
    a, b = (part.flatten(1).double() for part in (train, valid))
    v = torch.linalg.svd(a - a.mean(0), full_matrices=False)[2][: len(a) - 1]
    b = b - a.mean(0)
    for k in range(len(v) + 1):
        if (b - b @ v[:k].T @ v[:k]).square().mean() <= budget:
            return k
    raise ValueError("not enough")


# %% q6 value
def pca_numbers_needed(train, valid, *, budget):
    return 4


# %% q7 budget
def deliver(images):
    model = models.DenseAutoencoder(12, hidden=(90,))
    fit(model, images, progress=False)
    return model


# %% q7 weights
def deliver(images):
    return models.DenseAutoencoder(12, hidden=(256,))


# %% q7 code
def deliver(images):
    return models.DenseAutoencoder(16, hidden=(80,))


# %% q7 mode
def deliver(images):
    model = models.DenseAutoencoder(12, hidden=(90,))
    model.encoder.append(nn.BatchNorm1d(12))
    return model.train()


# %% q7 type
def deliver(images):
    model = models.DenseAutoencoder(12, hidden=(90,))
    return fit(model, images, epochs=1, progress=False)


# %% q7 leak hidden
def deliver(images):
    model = models.DenseAutoencoder(12, hidden=(90,))
    both = SimpleNamespace(train=images.valid, valid=images.valid)
    fit(model, both, epochs=35, batch=50, lr=6e-3, progress=False)
    return model


# %% q7 fails
class Album(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.kept = nn.Parameter(torch.zeros(1)), {}

    def encode(self, x):
        codes = x.flatten(1) @ torch.randn(x[0].numel(), 12, generator=torch.Generator().manual_seed(1))
        codes = codes.round(decimals=1)
        self.kept |= {tuple(code.tolist()): image for code, image in zip(codes, x, strict=True)}
        return codes

    def decode(self, z):
        return torch.stack([self.kept[tuple(code.tolist())] for code in z])


def deliver(images):
    return Album()


# %% q7 weights
class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(1))
        self.hidden = [models.DenseAutoencoder(12, hidden=(256,))]

    def encode(self, x):
        return self.hidden[0].encode(x)

    def decode(self, z):
        return self.hidden[0].decode(z)


def deliver(images):
    return Listed().eval()


# %% q7 weights
class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = [models.DenseAutoencoder(12, hidden=(80,))]

    def encode(self, x):
        return self.hidden[0].encode(x)

    def decode(self, z):
        return self.hidden[0].decode(z)


def deliver(images):
    return Bare().eval()

# ruff: noqa: F811, F821 (each cell runs with the names of the notebook before its question)

# %% q1 elementwise
def matrix_root(matrix):
    return matrix.sqrt()


# %% q1 asymmetric
def matrix_root(matrix):
    return torch.linalg.cholesky(matrix)


# %% q1 axes
def matrix_root(matrix):
    values, axes = torch.linalg.eigh(matrix)
    return axes.T @ values.sqrt().diag() @ axes


# %% q1 unrooted
def matrix_root(matrix):
    values, axes = torch.linalg.eigh(matrix)
    return axes @ values.diag() @ axes.T


# %% q1 offset
def matrix_root(matrix):
    values, axes = torch.linalg.eigh(matrix + 1e-6 * torch.eye(len(matrix)).to(matrix))
    return axes @ values.sqrt().diag() @ axes.T


# %% q1 offset hidden
def matrix_root(matrix):
    values, axes = torch.linalg.eigh(matrix)
    return axes @ values.clamp(min=1e-6).sqrt().diag() @ axes.T


# %% q1 negative hidden
def matrix_root(matrix):
    values, axes = torch.linalg.eigh(matrix)
    return axes @ values.sqrt().diag() @ axes.T


# %% q1 dtype hidden
def matrix_root(matrix):
    values, axes = torch.linalg.eigh(matrix.double())
    return axes @ values.clamp(min=0).sqrt().diag() @ axes.T


# %% q2 rooted
def frechet(a, b):
    a, b = a.double(), b.double()
    cross = torch.linalg.eigvals(a.T.cov() @ b.T.cov()).real.clamp(min=0).sqrt().sum()
    square = (a.mean(0) - b.mean(0)).square().sum() + a.var(0).sum() + b.var(0).sum() - 2 * cross
    return square.clamp(min=0).sqrt().item()


# %% q2 not-symmetric
def frechet(a, b):
    a, b = a.double(), b.double()
    cross = torch.linalg.eigvalsh(a.T.cov() @ b.T.cov()).clamp(min=0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + a.var(0).sum() + b.var(0).sum() - 2 * cross).item()


# %% q2 norm
def frechet(a, b):
    a, b = a.double(), b.double()
    cross = torch.linalg.eigvals(a.T.cov() @ b.T.cov()).real.clamp(min=0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).norm() + a.var(0).sum() + b.var(0).sum() - 2 * cross).item()


# %% q2 divisor
def frechet(a, b):
    a, b = a.double(), b.double()
    ca, cb = a.T.cov(correction=0), b.T.cov(correction=0)
    cross = torch.linalg.eigvals(ca @ cb).real.clamp(min=0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + ca.trace() + cb.trace() - 2 * cross).item()


# %% q2 diagonal
def frechet(a, b):
    return ((a.mean(0) - b.mean(0)).square().sum() + (a.std(0) - b.std(0)).square().sum()).item()


# %% q2 roots-product
def frechet(a, b):
    a, b = a.double(), b.double()
    cross = (matrix_root(a.T.cov()) @ matrix_root(b.T.cov())).trace()
    return ((a.mean(0) - b.mean(0)).square().sum() + a.var(0).sum() + b.var(0).sum() - 2 * cross).item()


# %% q2 precision hidden
def frechet(a, b):
    root = matrix_root(a.T.cov())
    cross = matrix_root(root @ b.T.cov() @ root).trace()
    return ((a.mean(0) - b.mean(0)).square().sum() + a.var(0).sum() + b.var(0).sum() - 2 * cross).item()


# %% q2 nan hidden
def frechet(a, b):
    a, b = a.double(), b.double()
    cross = torch.linalg.eigvals(a.T.cov() @ b.T.cov()).real.sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + a.var(0).sum() + b.var(0).sum() - 2 * cross).item()


# %% q3 without-replacement
def interval(x, score, *, level=0.95, draws=200, generator):
    scores = torch.tensor([score(x[torch.randperm(len(x), generator=generator)]) for _ in range(draws)])
    return scores.quantile((1 - level) / 2).item(), scores.quantile((1 + level) / 2).item()


# %% q3 one-sided
def interval(x, score, *, level=0.95, draws=200, generator):
    rows = torch.randint(len(x), (draws, len(x)), generator=generator)
    scores = torch.tensor([score(x[row]) for row in rows])
    return scores.quantile(1 - level).item(), scores.quantile(level).item()


# %% q3 left-out
def interval(x, score, *, level=0.95, draws=200, generator):
    rows = torch.randint(0, len(x) - 1, (draws, len(x)), generator=generator)
    scores = torch.tensor([score(x[row]) for row in rows])
    return scores.quantile((1 - level) / 2).item(), scores.quantile((1 + level) / 2).item()


# %% q3 columns
def interval(x, score, *, level=0.95, draws=200, generator):
    scores = []
    for _ in range(draws):
        rows = torch.randint(len(x), x.shape, generator=generator)
        scores.append(score(x.gather(0, rows)))
    scores = torch.tensor(scores)
    return scores.quantile((1 - level) / 2).item(), scores.quantile((1 + level) / 2).item()


# %% q3 quantile
def interval(x, score, *, level=0.95, draws=200, generator):
    rows = torch.randint(len(x), (draws, len(x)), generator=generator)
    scores = torch.tensor([score(x[row]) for row in rows])
    error = 1.96 * scores.std() / draws**0.5
    return (scores.mean() - error).item(), (scores.mean() + error).item()


# %% q3 generator
def interval(x, score, *, level=0.95, draws=200, generator):
    rows = torch.randint(len(x), (draws, len(x)))
    scores = torch.tensor([score(x[row]) for row in rows])
    return scores.quantile((1 - level) / 2).item(), scores.quantile((1 + level) / 2).item()


# %% q3 level hidden
def interval(x, score, *, level=0.95, draws=200, generator):
    rows = torch.randint(len(x), (draws, len(x)), generator=generator)
    scores = torch.tensor([score(x[row]) for row in rows])
    return scores.quantile(0.025).item(), scores.quantile(0.975).item()


# %% q3 draws hidden
def interval(x, score, *, level=0.95, draws=200, generator):
    rows = torch.randint(len(x), (200, len(x)), generator=generator)
    scores = torch.tensor([score(x[row]) for row in rows])
    return scores.quantile((1 - level) / 2).item(), scores.quantile((1 + level) / 2).item()


# %% q4 itself
def precision_recall(real, fake, *, k=3):
    reach_real = torch.cdist(real, real).topk(k, 1, largest=False).values[:, -1]
    reach_fake = torch.cdist(fake, fake).topk(k, 1, largest=False).values[:, -1]
    between = torch.cdist(real, fake)
    precision, recall = (between <= reach_real[:, None]).any(0), (between <= reach_fake).any(1)
    return precision.double().mean().item(), recall.double().mean().item()


# %% q4 swapped
def precision_recall(real, fake, *, k=3):
    reach_real = torch.cdist(real, real).sort(1).values[:, k]
    reach_fake = torch.cdist(fake, fake).sort(1).values[:, k]
    between = torch.cdist(real, fake)
    precision, recall = (between <= reach_fake).any(1), (between <= reach_real[:, None]).any(0)
    return precision.double().mean().item(), recall.double().mean().item()


# %% q4 own-ball
def precision_recall(real, fake, *, k=3):
    reach_real = torch.cdist(real, real).sort(1).values[:, k]
    reach_fake = torch.cdist(fake, fake).sort(1).values[:, k]
    between = torch.cdist(real, fake)
    precision, recall = (between <= reach_fake).any(0), (between <= reach_real[:, None]).any(1)
    return precision.double().mean().item(), recall.double().mean().item()


# %% q4 nearest-only
def precision_recall(real, fake, *, k=3):
    def share(centres, others):
        reach = torch.cdist(centres, centres).sort(1).values[:, k]
        distance, nearest = torch.cdist(others, centres).min(1)
        return (distance <= reach[nearest]).double().mean().item()

    return share(real, fake), share(fake, real)


# %% q4 twice
def precision_recall(real, fake, *, k=3):
    reach_real = torch.cdist(real, real).topk(k + 2, 1, largest=False).values[:, -1]
    reach_fake = torch.cdist(fake, fake).topk(k + 2, 1, largest=False).values[:, -1]
    between = torch.cdist(real, fake)
    precision, recall = (between <= reach_real[:, None]).any(0), (between <= reach_fake).any(1)
    return precision.double().mean().item(), recall.double().mean().item()


# %% q4 k hidden
def precision_recall(real, fake, *, k=3):
    reach_real = torch.cdist(real, real).sort(1).values[:, 3]
    reach_fake = torch.cdist(fake, fake).sort(1).values[:, 3]
    between = torch.cdist(real, fake)
    precision, recall = (between <= reach_real[:, None]).any(0), (between <= reach_fake).any(1)
    return precision.double().mean().item(), recall.double().mean().item()


# %% q4 rim hidden
def precision_recall(real, fake, *, k=3):
    reach_real = torch.cdist(real, real).sort(1).values[:, k]
    reach_fake = torch.cdist(fake, fake).sort(1).values[:, k]
    between = torch.cdist(real, fake)
    precision, recall = (between < reach_real[:, None]).any(0), (between < reach_fake).any(1)
    return precision.double().mean().item(), recall.double().mean().item()


# %% q5 swapped
def share_nearer(x, known, fresh):
    to_known, to_fresh = (torch.cdist(x.flatten(1), y.flatten(1)).min(1).values for y in (known, fresh))
    return (to_known > to_fresh).double().mean().item()


# %% q5 average
def share_nearer(x, known, fresh):
    to_known, to_fresh = (torch.cdist(x.flatten(1), y.flatten(1)).mean(1) for y in (known, fresh))
    return (to_known < to_fresh).double().mean().item()


# %% q5 count
def share_nearer(x, known, fresh):
    to_known, to_fresh = (torch.cdist(x.flatten(1), y.flatten(1)).min(1).values for y in (known, fresh))
    return (to_known < to_fresh).sum().item()


# %% q5 unequal hidden
def share_nearer(x, known, fresh):
    to_known, to_fresh = (torch.cdist(x.flatten(1), y.flatten(1)).min(1).values for y in (known, fresh))
    return ((to_known < to_fresh).double() + 0.5 * (to_known == to_fresh)).mean().item()


# %% q5 ties hidden
def share_nearer(x, known, fresh):
    n = min(len(known), len(fresh))
    to_known, to_fresh = (torch.cdist(x.flatten(1), y[:n].flatten(1)).min(1).values for y in (known, fresh))
    return (to_known < to_fresh).double().mean().item()


# %% q6 straight
def shifted_distance(x, others, *, reach=1):
    around, best = F.pad(x, [reach] * 4), []
    for step in range(2 * reach + 1):
        for r, c in ((step, reach), (reach, step)):
            moved = around[..., r : r + x.shape[2], c : c + x.shape[3]]
            best.append(torch.cdist(moved.flatten(1), others.flatten(1)).min(1).values)
    return torch.stack(best).min(0).values ** 2


# %% q6 root
def shifted_distance(x, others, *, reach=1):
    around, best = F.pad(x, [reach] * 4), []
    for r in range(2 * reach + 1):
        for c in range(2 * reach + 1):
            moved = around[..., r : r + x.shape[2], c : c + x.shape[3]]
            best.append(torch.cdist(moved.flatten(1), others.flatten(1)).min(1).values)
    return torch.stack(best).min(0).values


# %% q6 one-for-all
def shifted_distance(x, others, *, reach=1):
    around, best = F.pad(x, [reach] * 4), None
    for r in range(2 * reach + 1):
        for c in range(2 * reach + 1):
            moved = around[..., r : r + x.shape[2], c : c + x.shape[3]]
            far = torch.cdist(moved.flatten(1), others.flatten(1)).min(1).values ** 2
            best = far if best is None or far.sum() < best.sum() else best
    return best


# %% q6 one-way
def shifted_distance(x, others, *, reach=1):
    best = []
    for r in range(reach + 1):
        for c in range(reach + 1):
            moved = F.pad(x, (c, 0, r, 0))[..., : x.shape[2], : x.shape[3]]
            best.append(torch.cdist(moved.flatten(1), others.flatten(1)).min(1).values)
    return torch.stack(best).min(0).values ** 2


# %% q6 pixels
def shifted_distance(x, others, *, reach=1):
    around, best = F.pad(x, [reach] * 4), []
    for r in range(2 * reach + 1):
        for c in range(2 * reach + 1):
            moved = around[..., r : r + x.shape[2], c : c + x.shape[3]]
            best.append((moved[:, None] - others).square().mean((2, 3, 4)).min(1).values)
    return torch.stack(best).min(0).values


# %% q6 wraps
def shifted_distance(x, others, *, reach=1):
    best = []
    for r in range(-reach, reach + 1):
        for c in range(-reach, reach + 1):
            moved = x.roll((r, c), (2, 3))
            best.append(torch.cdist(moved.flatten(1), others.flatten(1)).min(1).values)
    return torch.stack(best).min(0).values ** 2


# %% q6 others-moved
def shifted_distance(x, others, *, reach=1):
    around, best = F.pad(others, [reach] * 4), []
    for r in range(2 * reach + 1):
        for c in range(2 * reach + 1):
            moved = around[..., r : r + x.shape[2], c : c + x.shape[3]]
            best.append(torch.cdist(x.flatten(1), moved.flatten(1)).min(1).values)
    return torch.stack(best).min(0).values ** 2


# %% q6 reach hidden
def shifted_distance(x, others, *, reach=1):
    around, best = F.pad(x, [1] * 4), []
    for r in range(3):
        for c in range(3):
            moved = around[..., r : r + x.shape[2], c : c + x.shape[3]]
            best.append(torch.cdist(moved.flatten(1), others.flatten(1)).min(1).values)
    return torch.stack(best).min(0).values ** 2


# %% q7 copier-missed
def verdict(sets, known, fresh, *, judge, distance):
    named, usual = {}, measure.sharpness(fresh).mean()
    for letter, x in sets.items():
        digits = torch.special.entr(judge.labels(x).bincount(minlength=10) / len(x)).sum().exp()
        soft = measure.sharpness(x).mean() < 0.35 * usual
        copied = share_nearer(x[:100], known, fresh) > 0.85
        named[letter] = "copier" if copied else "dropper" if digits < 8 else "blurrer" if soft else "honest"
    return named


# %% q7 dropper-missed
def verdict(sets, known, fresh, *, judge, distance):
    named, usual = {}, measure.sharpness(fresh).mean()
    for letter, x in sets.items():
        copied = (distance(x[:100], known) < distance(x[:100], fresh)).double().mean() > 0.85
        kinds = len(judge.labels(x).unique())  # a single slip of the judge makes another kind
        soft = measure.sharpness(x).mean() < 0.35 * usual
        named[letter] = "copier" if copied else "dropper" if kinds < 4 else "blurrer" if soft else "honest"
    return named


# %% q7 false-alarm
def verdict(sets, known, fresh, *, judge, distance):
    named, usual = {}, measure.sharpness(fresh).mean()
    for letter, x in sets.items():
        copied = (distance(x[:100], known) < distance(x[:100], fresh)).double().mean() > 0.85
        digits = torch.special.entr(judge.labels(x).bincount(minlength=10) / len(x)).sum().exp()
        soft = measure.sharpness(x).mean() < 0.8 * usual
        named[letter] = "copier" if copied else "dropper" if digits < 8 else "blurrer" if soft else "honest"
    return named


# %% q7 letters hidden
def verdict(sets, known, fresh, *, judge, distance):
    return sealed


# %% q7 ranking hidden
def verdict(sets, known, fresh, *, judge, distance):
    def lowest(score, among):
        return min(among, key=lambda letter: score(sets[letter]))

    left, named = set(sets), {}
    for kind, score in {
        "copier": lambda x: (distance(x[:100], known) - distance(x[:100], fresh)).sign().sum().item(),
        "dropper": lambda x: torch.special.entr(judge.labels(x).bincount(minlength=10) / len(x)).sum().item(),
        "blurrer": lambda x: measure.sharpness(x).mean().item(),
    }.items():
        if left:
            letter = lowest(score, left)
            named[letter] = kind
            left.remove(letter)
    return named | dict.fromkeys(left, "honest")


# %% q7 dropper-missed hidden
def verdict(sets, known, fresh, *, judge, distance):
    missing = {letter: 10 - (judge.labels(x).bincount(minlength=10) > len(x) / 100).sum() for letter, x in sets.items()}
    usual, named = measure.sharpness(fresh).mean(), {}
    for letter, x in sets.items():
        copied = (distance(x[:100], known) < distance(x[:100], fresh)).double().mean() > 0.85
        soft = measure.sharpness(x).mean() < 0.35 * usual
        named[letter] = "copier" if copied else "dropper" if missing[letter] == 5 else "blurrer" if soft else "honest"
    return named


# %% q7 false-alarm hidden
def verdict(sets, known, fresh, *, judge, distance):
    named, usual = {}, measure.sharpness(fresh).mean()
    for letter, x in sets.items():  # whoever is as sharp as digits must have copied them
        digits = torch.special.entr(judge.labels(x).bincount(minlength=10) / len(x)).sum().exp()
        sharp = measure.sharpness(x).mean() / usual
        named[letter] = (
            "dropper" if digits < 8 else "blurrer" if sharp < 0.35 else "honest" if sharp < 0.8 else "copier"
        )
    return named


# %% q7 dropper-missed hidden
def verdict(sets, known, fresh, *, judge, distance):
    named, usual = {}, measure.sharpness(fresh).mean()
    for letter, x in sets.items():
        copied = (distance(x[:100], known) < distance(x[:100], fresh)).double().mean() > 0.85
        digits = torch.special.entr(judge.labels(x).bincount(minlength=10) / len(x)).sum().exp()
        soft = measure.sharpness(x).mean() < 0.35 * usual
        named[letter] = "copier" if copied else "dropper" if digits < 5.5 else "blurrer" if soft else "honest"
    return named

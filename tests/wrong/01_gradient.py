# ruff: noqa: F811, F821 (each cell runs with the names of the notebook before its question)

# %% q1 batch
def tied_loss(X, W):
    return ((X @ W) @ W.T - X).square().sum()


# %% q1 pixels
def tied_loss(X, W):
    return torch.nn.functional.mse_loss((X @ W) @ W.T, X)


# %% q1 shape
def tied_loss(X, W):
    return ((X @ W) @ W.T - X).square().sum(1)


# %% q1 type
def tied_loss(X, W):
    return ((X @ W) @ W.T - X).square().sum(1).mean().item()


# %% q1 value hidden
def tied_loss(X, W):
    return 784 * torch.nn.functional.mse_loss((X @ W) @ W.T, X)


# %% q1 expensive hidden
def tied_loss(X, W):
    return (X @ (W @ W.T) - X).square().sum(1).mean()


# %% q1 detached
def tied_loss(X, W):
    with torch.no_grad():
        return ((X @ W) @ W.T - X).square().sum(1).mean()


# %% q1 half-detached
def tied_loss(X, W):
    return ((X @ W) @ W.detach().T - X).square().sum(1).mean()


# %% q1 half-detached
def tied_loss(X, W):  # a graph that leads nowhere
    with torch.no_grad():
        loss = ((X @ W) @ W.T - X).square().sum(1).mean()
    return loss + 0 * W.sum()


# %% q2 one-sided
def numeric_gradient(f, W, *, step=1e-5):
    W = W.double()
    slopes = torch.zeros_like(W)
    for i in range(W.shape[0]):
        for j in range(W.shape[1]):
            up = W.clone()
            up[i, j] += step
            slopes[i, j] = (f(up) - f(W)) / step
    return slopes


# %% q2 factor
def numeric_gradient(f, W, *, step=1e-5):
    W = W.double()
    slopes = torch.zeros_like(W)
    for place in range(W.numel()):
        push = torch.zeros(W.numel(), dtype=W.dtype)
        push[place] = step
        push = push.reshape(W.shape)
        slopes[place // W.shape[1], place % W.shape[1]] = (f(W + push) - f(W - push)) / step
    return slopes


# %% q2 dtype
def numeric_gradient(f, W, *, step=1e-5):
    slopes = torch.zeros_like(W)
    for place in range(W.numel()):
        push = torch.zeros(W.numel(), dtype=torch.float64)
        push[place] = step
        push = push.reshape(W.shape)
        slopes[divmod(place, W.shape[1])] = (f(W.double() + push) - f(W.double() - push)) / (2 * step)
    return slopes


# %% q2 autograd
def numeric_gradient(f, W, *, step=1e-5):
    W = W.double().detach().requires_grad_()
    return torch.autograd.grad(f(W), W)[0]


# %% q2 precision
def numeric_gradient(f, W, *, step=1e-5):
    slopes = torch.zeros(W.shape, dtype=torch.float64)
    for place in range(W.numel()):
        push = torch.zeros(W.numel())
        push[place] = step
        push = push.reshape(W.shape)
        slopes[divmod(place, W.shape[1])] = (f(W + push) - f(W - push)) / (2 * step)
    return slopes


# %% q2 in-place hidden
def numeric_gradient(f, W, *, step=1e-5):
    W = W.double()  # a copy only if it was not float64
    slopes = torch.zeros_like(W)
    for i in range(W.shape[0]):
        for j in range(W.shape[1]):
            W[i, j] += step
            up = f(W)
            W[i, j] -= 2 * step
            slopes[i, j] = (up - f(W)) / (2 * step)
            W[i, j] += step
    return slopes


# %% q2 in-place hidden
def numeric_gradient(f, W, *, step=1e-5):
    W = W.double()  # W itself if it is float64; put back after each entry, but f sees it changed
    slopes = torch.zeros_like(W)
    for place in np_places(W.shape):
        old = W[place].item()
        W[place] = old + step
        up = float(f(W))
        W[place] = old - step
        slopes[place] = (up - float(f(W))) / (2 * step)
        W[place] = old
    return slopes


def np_places(shape):
    import itertools

    return itertools.product(*map(range, shape))


# %% q2 fails hidden
def numeric_gradient(f, W, *, step=1e-5):
    W = W.double()
    pushes = step * torch.eye(W.numel(), dtype=W.dtype).view(-1, *W.shape)
    return torch.stack([f(W + p) - f(W - p) for p in pushes]).view(W.shape) / (2 * step)  # a float cannot be stacked


# %% q2 step hidden
def numeric_gradient(f, W, *, step=1e-5):  # five points, and more exact than the formula that is asked for
    W = W.double()
    pushes = step * torch.eye(W.numel(), dtype=W.dtype).view(-1, *W.shape)
    slopes = [8 * (f(W + p) - f(W - p)) - (f(W + 2 * p) - f(W - 2 * p)) for p in pushes]
    return torch.tensor(slopes, dtype=W.dtype).view(W.shape) / (12 * step)


# %% q2 step hidden
def numeric_gradient(f, W, *, step=1e-5):
    W = W.double()
    slopes = torch.zeros_like(W)
    for place in np_places(W.shape):
        push = torch.zeros_like(W)
        push[place] = 1e-5
        slopes[place] = (f(W + push) - f(W - push)) / 2e-5
    return slopes


def np_places(shape):
    import itertools

    return itertools.product(*map(range, shape))


# %% q2 fails hidden
def numeric_gradient(f, W, *, step=1e-5):
    W = W.double()
    slopes = torch.zeros_like(W)
    for i in range(W.shape[0]):
        for j in range(W.shape[1]):
            push = torch.zeros_like(W)
            push[i, j] = step
            slopes[i, j] = (f(W + push) - f(W - push)) / (2 * step)
    return slopes


# %% q3 decoder-only
def tied_gradient(X, W):
    residual = (X @ W) @ W.T - X
    return 2 / len(X) * residual.T @ (X @ W)


# %% q3 encoder-only
def tied_gradient(X, W):
    residual = (X @ W) @ W.T - X
    return 2 / len(X) * X.T @ (residual @ W)


# %% q3 doubled
def tied_gradient(X, W):
    residual = (X @ W) @ W.T - X
    return 4 / len(X) * X.T @ (residual @ W)


# %% q3 doubled-decoder
def tied_gradient(X, W):
    residual = (X @ W) @ W.T - X
    return 4 / len(X) * residual.T @ (X @ W)


# %% q3 sign
def tied_gradient(X, W):
    residual = X - (X @ W) @ W.T
    return 2 / len(X) * (X.T @ (residual @ W) + residual.T @ (X @ W))


# %% q3 factor
def tied_gradient(X, W):
    residual = (X @ W) @ W.T - X
    return (X.T @ (residual @ W) + residual.T @ (X @ W)) / len(X)


# %% q3 batch
def tied_gradient(X, W):
    residual = (X @ W) @ W.T - X
    return 2 * (X.T @ (residual @ W) + residual.T @ (X @ W))


# %% q3 autograd
def tied_gradient(X, W):
    W = W.clone().requires_grad_()
    loss = ((X @ W) @ W.T - X).square().sum() / len(X)
    return torch.autograd.grad(loss, W)[0]


# %% q3 transposed
def tied_gradient(X, W):
    residual = (X @ W) @ W.T - X
    return 2 / len(X) * ((residual @ W).T @ X + (X @ W).T @ residual)


# %% q3 expensive hidden
def tied_gradient(X, W):
    moment = X.T @ X / len(X)
    apart = W @ W.T - torch.eye(len(W), dtype=W.dtype, device=W.device)
    return 2 * (moment @ apart + apart @ moment) @ W


# %% q3 factor hidden
def tied_gradient(X, W):
    residual = (X @ W) @ W.T - X
    return 2 / 6 * (X.T @ (residual @ W) + residual.T @ (X @ W))  # the visible test has six images


# %% q4 half-way
def largest_step(X):
    return (1 / (8 * torch.linalg.svdvals(X)[0] ** 2 / len(X))).item()


# %% q4 stretch
def largest_step(X):  # 2 / (4 λ₁)
    return (1 / (2 * torch.linalg.svdvals(X)[0] ** 2 / len(X))).item()


# %% q4 turned
def largest_step(X):
    variances = torch.linalg.eigvalsh(X.T @ X / len(X))
    return (2 / (2 * (variances[-1] - variances[-2]))).item()


# %% q4 turned-furthest
def largest_step(X):  # right: the turn that bends most; but the stretch is forgotten
    variances = torch.linalg.eigvalsh(X.T @ X / len(X))
    return (2 / (2 * (variances[-1] - variances[0]))).item()


# %% q4 turned-to-nothing
def largest_step(X):
    return (1 / torch.linalg.eigvalsh(X.T @ X / len(X))[-1]).item()


# %% q4 ascending
def largest_step(X):
    return (1 / (4 * torch.linalg.eigvalsh(X.T @ X / len(X))[0])).item()


# %% q4 unsquared
def largest_step(X):
    return (1 / (4 * torch.linalg.svdvals(X)[0] / len(X) ** 0.5)).item()


# %% q4 batch
def largest_step(X):
    return (1 / (4 * torch.linalg.svdvals(X)[0] ** 2)).item()


# %% q4 unbiased
def largest_step(X):
    return (1 / (4 * torch.linalg.eigvalsh(torch.cov(X.T))[-1])).item()


# %% q4 centred hidden
def largest_step(X):
    X = X - X.mean(0)
    return (1 / (4 * torch.linalg.svdvals(X)[0] ** 2 / len(X))).item()


# %% q5 uphill
def descend(gradient, W, *, lr, steps, momentum=0.0):
    velocity = torch.zeros_like(W)
    for _ in range(steps):
        velocity = momentum * velocity + lr * gradient(W)
        W = W + velocity
    return W


# %% q5 momentum-ignored
def descend(gradient, W, *, lr, steps, momentum=0.0):
    for _ in range(steps):
        W = W - lr * gradient(W)
    return W


# %% q5 damped
def descend(gradient, W, *, lr, steps, momentum=0.0):
    average = torch.zeros_like(W)
    for _ in range(steps):
        average = momentum * average + (1 - momentum) * gradient(W)
        W = W - lr * average
    return W


# %% q5 nesterov
def descend(gradient, W, *, lr, steps, momentum=0.0):
    velocity = torch.zeros_like(W)
    for _ in range(steps):
        slope = gradient(W)
        velocity = momentum * velocity - lr * slope
        W = W + momentum * velocity - lr * slope
    return W


# %% q5 nesterov-ahead
def descend(gradient, W, *, lr, steps, momentum=0.0):
    velocity = torch.zeros_like(W)
    for _ in range(steps):
        velocity = momentum * velocity - lr * gradient(W + momentum * velocity)
        W = W + velocity
    return W


# %% q5 late
def descend(gradient, W, *, lr, steps, momentum=0.0):
    velocity = torch.zeros_like(W)
    for _ in range(steps):
        W, velocity = W + velocity, momentum * velocity - lr * gradient(W)
    return W


# %% q5 late-gradient
def descend(gradient, W, *, lr, steps, momentum=0.0):
    velocity = torch.zeros_like(W)
    for _ in range(steps):
        W = W + velocity
        velocity = momentum * velocity - lr * gradient(W)
    return W


# %% q5 in-place
def descend(gradient, W, *, lr, steps, momentum=0.0):
    velocity = torch.zeros_like(W)
    for _ in range(steps):
        velocity = momentum * velocity - lr * gradient(W)
        W += velocity
    return W


# %% q5 steps
def descend(gradient, W, *, lr, steps, momentum=0.0):
    slope, velocity = gradient(W), torch.zeros_like(W)
    for _ in range(steps):
        velocity = momentum * velocity - lr * slope
        W = W + velocity
    return W


# %% q5 fails hidden
def descend(gradient, W, *, lr, steps, momentum=0.0):
    velocity = torch.zeros_like(W)
    for _ in range(steps):
        velocity = momentum * velocity - lr * gradient(W)
        end = W = W + velocity
    return end


# %% q5 fails hidden
def descend(gradient, W, *, lr, steps, momentum=0.0):
    rows, columns = W.shape
    velocity = torch.zeros(rows, columns, dtype=W.dtype, device=W.device)
    for _ in range(steps):
        velocity = momentum * velocity - lr * gradient(W)
        W = W + velocity
    return W


# %% q5 steps hidden
def descend(gradient, W, *, lr, steps, momentum=0.0):
    velocity = -lr * gradient(W)
    W = W + velocity
    for _ in range(steps - 1):
        velocity = momentum * velocity - lr * gradient(W)
        W = W + velocity
    return W


# %% q6 order
def uncorrelated(X, W):
    z = X @ W
    z = z - z.mean(0)
    return W @ torch.linalg.eigh(z.T @ z / len(z)).eigenvectors


# %% q6 transposed
def uncorrelated(X, W):
    z = X @ W
    z = z - z.mean(0)
    return W @ torch.linalg.eigh(z.T @ z / len(z)).eigenvectors.flip(1).T


# %% q6 other-pictures
def uncorrelated(X, W):
    z = X @ W
    z = z - z.mean(0)
    variances, Q = torch.linalg.eigh(z.T @ z / len(z))
    return W @ (Q / variances.sqrt()).flip(1)  # white: all variances are one


# %% q6 correlated
def uncorrelated(X, W):
    U, S, _ = torch.linalg.svd(W, full_matrices=False)
    return U * S


# %% q6 shape
def uncorrelated(X, W):
    z = X @ W
    return torch.linalg.eigh(z.T @ z / len(z)).eigenvectors.flip(1)


# %% q6 other-pictures
def uncorrelated(X, W):
    X = X - X.mean(0)
    return torch.linalg.svd(X, full_matrices=False).Vh[: W.shape[1]].T


# %% q6 uncentred
def uncorrelated(X, W):
    z = X @ W
    return W @ torch.linalg.eigh(z.T @ z / len(z)).eigenvectors.flip(1)


# %% q6 shape hidden
def uncorrelated(X, W):
    z = X @ W
    return W @ torch.linalg.svd(z - z.mean(0), full_matrices=False).Vh.T


# %% q7 nan
def way_out(X, W):
    slope = (X.T @ (X @ W @ W.T - X) @ W + (X @ W @ W.T - X).T @ X @ W) / len(X)
    return -slope / slope.norm()


# %% q7 gave-up
def way_out(X, W):
    slope = (X.T @ (X @ W @ W.T - X) @ W + (X @ W @ W.T - X).T @ X @ W) / len(X)
    return None if slope.norm() < 1e-3 else -slope / slope.norm()


# %% q7 no-exit
def way_out(X, W):
    missed = X - X @ W @ W.T
    _, pictures = torch.linalg.eigh(missed.T @ missed / len(X))
    _, directions = torch.linalg.eigh((X @ W).T @ (X @ W) / len(X))
    return torch.outer(pictures[:, -1], directions[:, 0])


# %% q7 length
def way_out(X, W):
    missed = X - X @ W @ W.T
    lost, pictures = torch.linalg.eigh(missed.T @ missed / len(X))
    carried, directions = torch.linalg.eigh((X @ W).T @ (X @ W) / len(X))
    if lost[-1] <= carried[0] * 1.001:
        return None
    return lost[-1] * torch.outer(pictures[:, -1], directions[:, 0])


# %% q7 transposed
def way_out(X, W):
    missed = X - X @ W @ W.T
    lost, pictures = torch.linalg.eigh(missed.T @ missed / len(X))
    carried, directions = torch.linalg.eigh((X @ W).T @ (X @ W) / len(X))
    if lost[-1] <= carried[0] * 1.001:
        return None
    return torch.outer(directions[:, 0], pictures[:, -1])


# %% q7 uphill
def way_out(X, W):  # eigh rises, so this is the picture that is missed least
    missed = X - X @ W @ W.T
    lost, pictures = torch.linalg.eigh(missed.T @ missed / len(X))
    carried, directions = torch.linalg.eigh((X @ W).T @ (X @ W) / len(X))
    if lost[-1] <= carried[0] * 1.001:
        return None
    return torch.outer(pictures[:, 0], directions[:, 0])


# %% q7 uphill hidden
def way_out(X, W):  # the first axis, whether W has it or not
    pictures = torch.linalg.eigh(X.T @ X / len(X)).eigenvectors
    if (pictures[:, -1] @ W).abs().max() > 0.99:
        return None
    ways = torch.zeros_like(W)
    ways[:, 0] = pictures[:, -1]
    return ways


# %% q7 gave-up hidden
def way_out(X, W):  # None as soon as W has the first axis
    missed = X - X @ W @ W.T
    lost, pictures = torch.linalg.eigh(missed.T @ missed / len(X))
    carried, directions = torch.linalg.eigh((X @ W).T @ (X @ W) / len(X))
    if lost[-1] <= carried[-1]:
        return None
    return torch.outer(pictures[:, -1], directions[:, 0])


# %% q7 uphill hidden
def way_out(X, W):  # one column makes room, though the code may be rotated
    missed = X - X @ W @ W.T
    lost, pictures = torch.linalg.eigh(missed.T @ missed / len(X))
    carried = (X @ W).square().mean(0)
    if lost[-1] <= torch.linalg.eigvalsh((X @ W).T @ (X @ W) / len(X))[0] * 1.001:
        return None
    way = torch.zeros_like(W)
    way[:, carried.argmin()] = pictures[:, -1]
    return way


# %% q7 no-exit hidden
def way_out(X, W):  # all that is missed, added up, where its largest part alone counts
    missed = X - X @ W @ W.T
    lost, pictures = torch.linalg.eigh(missed.T @ missed / len(X))
    carried, directions = torch.linalg.eigh((X @ W).T @ (X @ W) / len(X))
    if missed.square().sum() / len(X) <= carried[0] * 1.001:
        return None
    return torch.outer(pictures[:, -1], directions[:, 0])


# %% q7 gave-up hidden
def way_out(X, W):
    X = X - X.mean(0)
    missed = X - X @ W @ W.T
    lost, pictures = torch.linalg.eigh(missed.T @ missed / len(X))
    carried, directions = torch.linalg.eigh((X @ W).T @ (X @ W) / len(X))
    if lost[-1] <= carried[0] + 1e-3:
        return None
    return torch.outer(pictures[:, -1], directions[:, 0])


# %% q7 rounding hidden
def way_out(X, W):
    missed = X - X @ W @ W.T
    lost, pictures = torch.linalg.eigh(missed.T @ missed / len(X))
    carried, directions = torch.linalg.eigh((X @ W).T @ (X @ W) / len(X))
    if lost[-1] <= carried[0]:
        return None
    return torch.outer(pictures[:, -1], directions[:, 0])


# %% q7 rounding hidden
def way_out(X, W):  # a relative tolerance, and both are zero
    missed = X - X @ W @ W.T
    lost, pictures = torch.linalg.eigh(missed.T @ missed / len(X))
    carried, directions = torch.linalg.eigh((X @ W).T @ (X @ W) / len(X))
    if lost[-1] <= carried[0] * 1.001:
        return None
    return torch.outer(pictures[:, -1], directions[:, 0])

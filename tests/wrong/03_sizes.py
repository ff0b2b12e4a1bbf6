# %% q1 start
def sizes(n, layers):
    found = []
    for layer in layers:
        span = layer.get("dilation", 1) * (layer["kernel"] - 1) + 1
        n = (n + 2 * layer.get("padding", 0) - span) // layer.get("stride", 1) + 1
        found.append(n)
    return found


# %% q1 type
def sizes(n, layers):
    found = [n]
    for layer in layers:
        span = layer.get("dilation", 1) * (layer["kernel"] - 1) + 1
        found.append((found[-1] + 2 * layer.get("padding", 0) - span) / layer.get("stride", 1) + 1)
    return found


# %% q1 rounding
def sizes(n, layers):
    found = [n]
    for layer in layers:
        span = layer.get("dilation", 1) * (layer["kernel"] - 1) + 1
        room = found[-1] + 2 * layer.get("padding", 0) - span
        found.append(math.ceil(room / layer.get("stride", 1)) + 1)
    return found


# %% q1 dilation
def sizes(n, layers):
    found = [n]
    for layer in layers:
        room = found[-1] + 2 * layer.get("padding", 0) - layer["kernel"]
        found.append(room // layer.get("stride", 1) + 1)
    return found


# %% q1 span
def sizes(n, layers):
    found = [n]
    for layer in layers:
        room = found[-1] + 2 * layer.get("padding", 0) - layer.get("dilation", 1) * layer["kernel"]
        found.append(room // layer.get("stride", 1) + 1)
    return found


# %% q1 padding
def sizes(n, layers):
    found = [n]
    for layer in layers:
        span = layer.get("dilation", 1) * (layer["kernel"] - 1) + 1
        found.append((found[-1] + layer.get("padding", 0) - span) // layer.get("stride", 1) + 1)
    return found


# %% q1 fails
def sizes(n, layers):
    found = [n]
    for layer in layers:
        span = layer["dilation"] * (layer["kernel"] - 1) + 1
        found.append((found[-1] + 2 * layer["padding"] - span) // layer["stride"] + 1)
    return found


# %% q1 in-place
def sizes(n, layers):
    found = [n]
    for layer in layers:
        layer.setdefault("stride", 1)
        span = layer.setdefault("dilation", 1) * (layer["kernel"] - 1) + 1
        found.append((found[-1] + 2 * layer.setdefault("padding", 0) - span) // layer["stride"] + 1)
    return found


# %% q1 fit
def sizes(n, layers):
    found = [n]
    for layer in layers:
        span = layer.get("dilation", 1) * (layer["kernel"] - 1) + 1
        found.append((found[-1] + 2 * layer.get("padding", 0) - span) // layer.get("stride", 1) + 1)
    return found


# %% q1 fit
def sizes(n, layers):
    found = [n]
    for layer in layers:
        span = layer.get("dilation", 1) * (layer["kernel"] - 1) + 1
        # int() rounds towards 0, so that −1 / 5 counts as one place.
        found.append(int((found[-1] + 2 * layer.get("padding", 0) - span) / layer.get("stride", 1)) + 1)
        if found[-1] < 1:
            raise ValueError("the kernel does not fit")
    return found


# %% q1 fit hidden
def sizes(n, layers):
    found = [n]
    for layer in layers:
        room = found[-1] + 2 * layer.get("padding", 0)
        if layer["kernel"] > room:  # dilation forgotten
            raise ValueError("the kernel does not fit")
        found.append((room - layer.get("dilation", 1) * (layer["kernel"] - 1) - 1) // layer.get("stride", 1) + 1)
    return found


# %% q1 refused hidden
def sizes(n, layers):
    found = [n]
    for layer in layers:
        span = layer.get("dilation", 1) * (layer["kernel"] - 1) + 1
        if span > found[-1]:  # padding forgotten
            raise ValueError("the kernel does not fit")
        found.append((found[-1] + 2 * layer.get("padding", 0) - span) // layer.get("stride", 1) + 1)
    return found


# %% q2 impossible
def output_paddings(small, large, *, kernel, stride=1, padding=0, dilation=1):
    # formula (4), whatever the small size is
    return tuple((n + 2 * padding - dilation * (kernel - 1) - 1) % stride for n in large)


# %% q2 too-large
def output_paddings(small, large, *, kernel, stride=1, padding=0, dilation=1):
    found = []
    for a, b in zip(small, large):
        found.append(b - ((a - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1))
    return tuple(found) if min(found) >= 0 else None


# %% q2 negative
def output_paddings(small, large, *, kernel, stride=1, padding=0, dilation=1):
    found = []
    for a, b in zip(small, large):
        found.append(b - ((a - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1))
    return tuple(found) if max(found) < max(stride, dilation) else None


# %% q2 type
def output_paddings(small, large, *, kernel, stride=1, padding=0, dilation=1):
    missing = large[0] - ((small[0] - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1)
    return missing if 0 <= missing < max(stride, dilation) else None


# %% q2 square
def output_paddings(small, large, *, kernel, stride=1, padding=0, dilation=1):
    missing = large[0] - ((small[0] - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1)
    possible = 0 <= missing < max(stride, dilation) and large[1] < 45
    return (missing, missing) if possible else None


# %% q2 limit hidden
def output_paddings(small, large, *, kernel, stride=1, padding=0, dilation=1):
    found = []
    for a, b in zip(small, large):
        found.append(b - ((a - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1))
    return tuple(found) if all(0 <= missing < stride for missing in found) else None


# %% q2 limit hidden
def output_paddings(small, large, *, kernel, stride=1, padding=0, dilation=1):
    found = []
    for a, b in zip(small, large):
        found.append(b - ((a - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1))
    return tuple(found) if all(missing in (0, 1) for missing in found) else None


# %% q2 one-none
def output_paddings(small, large, *, kernel, stride=1, padding=0, dilation=1):
    found = []
    for a, b in zip(small, large):
        missing = b - ((a - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1)
        found.append(missing if 0 <= missing < max(stride, dilation) else None)
    return tuple(found)


# %% q2 limit
def output_paddings(small, large, *, kernel, stride=1, padding=0, dilation=1):
    pass


# %% q3 bias
def cost(shape, layers):
    channels, *size = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            size = [layer["factor"] * n for n in size]
            continue
        k, s, p = layer["kernel"], layer["stride"], layer["padding"]
        per_place, before = k * k * channels * layer["channels"], math.prod(size)
        if layer["kind"] == "conv":
            size = [(n + 2 * p - k) // s + 1 for n in size]
            before = math.prod(size)
        else:
            size = [(n - 1) * s - 2 * p + k + q for n, q in zip(size, layer["output_padding"])]
        channels = layer["channels"]
        weights += per_place
        multiplications += per_place * before
    return weights, multiplications


# %% q3 places
def cost(shape, layers):
    channels, *size = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            size = [layer["factor"] * n for n in size]
            continue
        k, s, p = layer["kernel"], layer["stride"], layer["padding"]
        if layer["kind"] == "conv":
            size = [(n + 2 * p - k) // s + 1 for n in size]
        else:
            size = [(n - 1) * s - 2 * p + k + q for n, q in zip(size, layer["output_padding"])]
        weights += k * k * channels * layer["channels"] + layer["channels"]
        multiplications += k * k * channels * layer["channels"] * math.prod(size)
        channels = layer["channels"]
    return weights, multiplications


# %% q3 bias-multiplied
def cost(shape, layers):
    channels, *size = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            size = [layer["factor"] * n for n in size]
            continue
        k, s, p = layer["kernel"], layer["stride"], layer["padding"]
        here, places = (k * k * channels + 1) * layer["channels"], math.prod(size)
        if layer["kind"] == "conv":
            size = [(n + 2 * p - k) // s + 1 for n in size]
            places = math.prod(size)
        else:
            size = [(n - 1) * s - 2 * p + k + q for n, q in zip(size, layer["output_padding"])]
        channels = layer["channels"]
        weights, multiplications = weights + here, multiplications + here * places
    return weights, multiplications


# %% q3 value
def cost(shape, layers):
    # The first layer's input is used for all of them.
    channels, rows, columns = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            continue
        here = layer["kernel"] ** 2 * channels * layer["channels"]
        weights += here + layer["channels"]
        multiplications += here * (rows // layer["stride"]) * (columns // layer["stride"])
    return weights, multiplications


# %% q3 square
def cost(shape, layers):
    channels, n, _ = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            n = layer["factor"] * n
            continue
        k, s, p = layer["kernel"], layer["stride"], layer["padding"]
        here, places = k * k * channels * layer["channels"], n * n
        if layer["kind"] == "conv":
            n = (n + 2 * p - k) // s + 1
            places = n * n
        else:
            n = (n - 1) * s - 2 * p + k + layer["output_padding"][0]
        channels = layer["channels"]
        weights, multiplications = weights + here + channels, multiplications + here * places
    return weights, multiplications


# %% q3 value hidden
def cost(shape, layers):
    channels, *size = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            size = [2 * n for n in size]  # whatever the factor
            continue
        k, s, p = layer["kernel"], layer["stride"], layer["padding"]
        here, places = k * k * channels * layer["channels"], math.prod(size)
        if layer["kind"] == "conv":
            size = [(n + 2 * p - k) // s + 1 for n in size]
            places = math.prod(size)
        else:
            size = [(n - 1) * s - 2 * p + k + q for n, q in zip(size, layer["output_padding"])]
        channels = layer["channels"]
        weights, multiplications = weights + here + channels, multiplications + here * places
    return weights, multiplications


# %% q3 input-bias
def cost(shape, layers):
    channels, *size = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            size = [layer["factor"] * n for n in size]
            continue
        k, s, p = layer["kernel"], layer["stride"], layer["padding"]
        here, places = k * k * channels * layer["channels"], math.prod(size)
        if layer["kind"] == "conv":
            size = [(n + 2 * p - k) // s + 1 for n in size]
            places = math.prod(size)
        else:
            size = [(n - 1) * s - 2 * p + k + q for n, q in zip(size, layer["output_padding"])]
        weights, multiplications = weights + here + channels, multiplications + here * places
        channels = layer["channels"]
    return weights, multiplications


# %% q3 conv-places
def cost(shape, layers):
    channels, *size = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            size = [layer["factor"] * n for n in size]
            continue
        k, s, p = layer["kernel"], layer["stride"], layer["padding"]
        here, places = k * k * channels * layer["channels"], math.prod(size)
        if layer["kind"] == "conv":
            size = [(n + 2 * p - k) // s + 1 for n in size]
        else:
            size = [(n - 1) * s - 2 * p + k + q for n, q in zip(size, layer["output_padding"])]
        weights, multiplications = weights + here + layer["channels"], multiplications + here * places
        channels = layer["channels"]
    return weights, multiplications


# %% q3 output-padding
def cost(shape, layers):
    channels, *size = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            size = [layer["factor"] * n for n in size]
            continue
        k, s, p = layer["kernel"], layer["stride"], layer["padding"]
        here, places = k * k * channels * layer["channels"], math.prod(size)
        if layer["kind"] == "conv":
            size = [(n + 2 * p - k) // s + 1 for n in size]
            places = math.prod(size)
        else:
            size = [(n - 1) * s - 2 * p + k for n in size]
        weights, multiplications = weights + here + layer["channels"], multiplications + here * places
        channels = layer["channels"]
    return weights, multiplications


# %% q3 swapped
def cost(shape, layers):
    channels, *size = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            size = [layer["factor"] * n for n in size]
            continue
        k, s, p = layer["kernel"], layer["stride"], layer["padding"]
        here, places = k * k * channels * layer["channels"], math.prod(size)
        if layer["kind"] == "conv":
            size = [(n + 2 * p - k) // s + 1 for n in size]
            places = math.prod(size)
        else:
            size = [(n - 1) * s - 2 * p + k + q for n, q in zip(size, layer["output_padding"][::-1])]
        weights, multiplications = weights + here + layer["channels"], multiplications + here * places
        channels = layer["channels"]
    return weights, multiplications


# %% q3 type
def cost(shape, layers):
    channels, *size = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            size = [layer["factor"] * n for n in size]
            continue
        k, s, p = layer["kernel"], layer["stride"], layer["padding"]
        here, places = k * k * channels * layer["channels"], math.prod(size)
        if layer["kind"] == "conv":
            size = [(n + 2 * p - k) // s + 1 for n in size]
            places = math.prod(size)
        else:
            size = [(n - 1) * s - 2 * p + k + q for n, q in zip(size, layer["output_padding"])]
        weights, multiplications = weights + here + layer["channels"], multiplications + here * places
        channels = layer["channels"]


# %% q3 value hidden
def cost(shape, layers):
    channels, *size = shape
    weights = multiplications = 0
    for layer in layers:
        if layer["kind"] == "upsample":
            size = [layer["factor"] * n for n in size]
            continue
        k, s, p = layer["kernel"], layer["stride"], layer["padding"]
        here, places = k * k * channels * layer["channels"], math.prod(size)
        if layer["kind"] == "conv":
            size = [n // s for n in size]
            places = math.prod(size)
        else:
            size = [(n - 1) * s - 2 * p + k + q for n, q in zip(size, layer["output_padding"])]
        weights, multiplications = weights + here + layer["channels"], multiplications + here * places
        channels = layer["channels"]
    return weights, multiplications


# %% q4 dtype
def writes(small, *, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    how = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    return F.conv_transpose2d(torch.ones(1, 1, *small), torch.ones(1, 1, kernel, kernel), **how)[0, 0]


# %% q4 shape
def writes(small, *, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    how = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    return F.conv_transpose2d(torch.ones(1, 1, *small), torch.ones(1, 1, kernel, kernel), **how).long()


# %% q4 sum
def writes(small, *, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    sides = []
    for n in small:
        side = torch.zeros((n - 1) * stride + dilation * (kernel - 1) + 1 + output_padding, dtype=torch.int64)
        for start in range(n):
            for weight in range(kernel):
                side[start * stride + weight * dilation] += 1
        sides.append(side[padding : len(side) - padding])
    return sides[0][:, None] + sides[1]


# %% q4 padding
def writes(small, *, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    rows, columns = ((n - 1) * stride + dilation * (kernel - 1) + 1 + output_padding for n in small)
    found = torch.zeros(rows, columns, dtype=torch.int64)
    for i in range(small[0]):
        for j in range(small[1]):
            top, left = i * stride, j * stride
            found[top : top + dilation * kernel : dilation, left : left + dilation * kernel : dilation] += 1
    return found


# %% q4 once
def writes(small, *, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    how = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    laid = F.conv_transpose2d(torch.ones(1, 1, *small), torch.ones(1, 1, kernel, kernel), **how)
    return (laid[0, 0] > 0).long()


# %% q4 dilation hidden
def writes(small, *, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    how = {"stride": stride, "padding": padding, "output_padding": output_padding}
    return F.conv_transpose2d(torch.ones(1, 1, *small), torch.ones(1, 1, kernel, kernel), **how)[0, 0].long()


# %% q4 output-padding hidden
def writes(small, *, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    return F.conv_transpose2d(torch.ones(1, 1, *small), torch.ones(1, 1, kernel, kernel), **how)[0, 0].long()


# %% q4 end hidden
def writes(small, *, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    laid = F.conv_transpose2d(torch.ones(1, 1, *small), torch.ones(1, 1, kernel, kernel), **how)
    whole = F.conv_transpose2d(torch.ones(1, 1, *small), torch.ones(1, 1, kernel, kernel), **how | {"padding": 0})
    whole = F.pad(whole, (output_padding, 0, output_padding, 0))
    rows, columns = (n + output_padding for n in laid.shape[2:])
    return whole[0, 0, padding : padding + rows, padding : padding + columns].long()


# %% q5 uneven
def even_layer(small, large, *, stride, largest=12):
    for padding in range(3):
        missing = large - ((small - 1) * stride - 2 * padding + 3)
        if 0 <= missing < stride:
            return {"kernel_size": 3, "stride": stride, "padding": padding, "output_padding": missing}


# %% q5 unwritten
def even_layer(small, large, *, stride, largest=12):
    for kernel in range(1, largest + 1):
        for padding in range(kernel):
            missing = large - ((small - 1) * stride - 2 * padding + kernel)
            if 0 <= missing < stride:
                return {"kernel_size": kernel, "stride": stride, "padding": padding, "output_padding": missing}


# %% q5 unwritten
def even_layer(small, large, *, stride, largest=12):
    for kernel in range(stride, largest + 1, stride):
        for padding in range(kernel):
            missing = large - ((small - 1) * stride - 2 * padding + kernel)
            if 0 <= missing < stride:
                return {"kernel_size": kernel, "stride": stride, "padding": padding, "output_padding": missing}


# %% q5 larger
def even_layer(small, large, *, stride, largest=12):
    for kernel in range(largest - largest % stride, 0, -stride):
        for padding in range(kernel):
            missing = large - ((small - 1) * stride - 2 * padding + kernel)
            if 0 <= missing < stride and missing <= padding:
                return {"kernel_size": kernel, "stride": stride, "padding": padding, "output_padding": missing}


# %% q5 keys
def even_layer(small, large, *, stride, largest=12):
    for kernel in range(stride, largest + 1, stride):
        for padding in range(kernel):
            missing = large - ((small - 1) * stride - 2 * padding + kernel)
            if 0 <= missing < stride and missing <= padding:
                return {"kernel": kernel, "stride": stride, "padding": padding, "output_padding": missing}


# %% q5 uneven hidden
def even_layer(small, large, *, stride, largest=12):
    for kernel in range(2, largest + 1, 2):  # even kernels are even for stride 2, and 1, but not for 3
        for padding in range(kernel):
            missing = large - ((small - 1) * stride - 2 * padding + kernel)
            if 0 <= missing < stride and missing <= padding and (stride > 1 or kernel == abs(large - small) + 1):
                return {"kernel_size": kernel, "stride": stride, "padding": padding, "output_padding": missing}
    if stride == 1:
        for kernel in range(1, largest + 1):
            for padding in range(kernel):
                if small - 1 - 2 * padding + kernel == large:
                    return {"kernel_size": kernel, "stride": 1, "padding": padding, "output_padding": 0}


# %% q5 possible hidden
def even_layer(small, large, *, stride, largest=12):
    for kernel in (stride, 2 * stride):
        for padding in range(kernel):
            missing = large - ((small - 1) * stride - 2 * padding + kernel)
            if 0 <= missing < stride and missing <= padding and kernel <= largest:
                return {"kernel_size": kernel, "stride": stride, "padding": padding, "output_padding": missing}


# %% q5 largest hidden
def even_layer(small, large, *, stride, largest=12):
    for kernel in range(stride, 13, stride):
        for padding in range(kernel):
            missing = large - ((small - 1) * stride - 2 * padding + kernel)
            if 0 <= missing < stride and missing <= padding:
                return {"kernel_size": kernel, "stride": stride, "padding": padding, "output_padding": missing}


# %% q5 possible
def even_layer(small, large, *, stride, largest=12):
    pass


# %% q6 size
def autoencoder(shape, *, code, widths):
    # no output padding at all
    channels, rows, columns = shape
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    encoder, decoder = [], []
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how), nn.SiLU()]
        decoder = [nn.SiLU(), nn.ConvTranspose2d(width, channels, **how), *decoder]
        channels, rows, columns = width, rows // 2, columns // 2
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    return Network(
        nn.Sequential(*encoder), nn.Sequential(nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder)
    )


# %% q6 size
def autoencoder(shape, *, code, widths):
    # the remainders in the encoder's order
    channels, rows, columns = shape
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    encoder, decoder, remainders, steps = [], [], [], []
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how), nn.SiLU()]
        steps.append((width, channels))
        remainders.append((rows % 2, columns % 2))
        channels, rows, columns = width, rows // 2, columns // 2
    for (a, b), odd in zip(reversed(steps), remainders):
        decoder += [nn.SiLU(), nn.ConvTranspose2d(a, b, output_padding=odd, **how)]
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    return Network(
        nn.Sequential(*encoder), nn.Sequential(nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder)
    )


# %% q6 uneven
def autoencoder(shape, *, code, widths):
    channels, *size = shape
    how = {"kernel_size": 3, "stride": 2, "padding": 1}
    encoder, decoder = [], []
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how), nn.SiLU()]
        missing = tuple((n - 1) % 2 for n in size)
        decoder = [nn.SiLU(), nn.ConvTranspose2d(width, channels, output_padding=missing, **how), *decoder]
        channels, size = width, [(n + 1) // 2 for n in size]
    maps = (channels, *size)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    return Network(
        nn.Sequential(*encoder), nn.Sequential(nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder)
    )


# %% q6 unwritten
def autoencoder(shape, *, code, widths):
    channels, rows, columns = shape
    how = {"kernel_size": 2, "stride": 2}
    encoder, decoder = [], []
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how), nn.SiLU()]
        odd = (rows % 2, columns % 2)
        decoder = [nn.SiLU(), nn.ConvTranspose2d(width, channels, output_padding=odd, **how), *decoder]
        channels, rows, columns = width, rows // 2, columns // 2
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    return Network(
        nn.Sequential(*encoder), nn.Sequential(nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder)
    )


# %% q6 cropped
class Cut(nn.Module):
    def __init__(self, rows, columns):
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, x):
        return x[:, :, : self.rows, : self.columns]


def autoencoder(shape, *, code, widths):
    channels, rows, columns = shape
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    encoder, decoder = [], [Cut(rows, columns)]
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how), nn.SiLU()]
        decoder = [nn.SiLU(), nn.ConvTranspose2d(width, channels, output_padding=1, **how), *decoder]
        channels, rows, columns = width, rows // 2, columns // 2
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    return Network(
        nn.Sequential(*encoder), nn.Sequential(nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder)
    )


# %% q6 resized
def autoencoder(shape, *, code, widths):
    channels, rows, columns = shape
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    encoder, decoder = [], [nn.Upsample(size=(rows, columns))]
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how), nn.SiLU()]
        decoder = [nn.SiLU(), nn.ConvTranspose2d(width, channels, **how), *decoder]
        channels, rows, columns = width, rows // 2, columns // 2
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    return Network(
        nn.Sequential(*encoder), nn.Sequential(nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder)
    )


# %% q6 dense
def autoencoder(shape, *, code, widths):
    encoder = [nn.Flatten(), nn.Linear(math.prod(shape), code)]
    return Network(nn.Sequential(*encoder), nn.Sequential(nn.Linear(code, math.prod(shape)), nn.Unflatten(1, shape)))


# %% q6 layers
def autoencoder(shape, *, code, widths):
    # always two halvings
    channels, rows, columns = shape
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    a, maps = widths[0], (widths[-1], rows // 4, columns // 4)
    odd = [(rows % 2, columns % 2), (rows // 2 % 2, columns // 2 % 2)]
    encoder = [nn.Conv2d(channels, a, **how), nn.SiLU(), nn.Conv2d(a, maps[0], **how), nn.SiLU(), nn.Flatten()]
    decoder = [nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), nn.SiLU()]
    decoder += [nn.ConvTranspose2d(maps[0], a, output_padding=odd[1], **how), nn.SiLU()]
    decoder += [nn.ConvTranspose2d(a, channels, output_padding=odd[0], **how)]
    return Network(nn.Sequential(*encoder, nn.Linear(math.prod(maps), code)), nn.Sequential(*decoder))


# %% q6 size hidden
def autoencoder(shape, *, code, widths):
    # one output padding for both sides: 27 and 43 happen to leave the same remainders
    channels, rows, columns = shape
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    encoder, decoder = [], []
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how), nn.SiLU()]
        decoder = [nn.SiLU(), nn.ConvTranspose2d(width, channels, output_padding=rows % 2, **how), *decoder]
        channels, rows, columns = width, rows // 2, columns // 2
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    return Network(
        nn.Sequential(*encoder), nn.Sequential(nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder)
    )


# %% q6 fails hidden
def autoencoder(shape, *, code, widths):
    # grey images only
    channels, rows, columns = 1, *shape[1:]
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    encoder, decoder = [], []
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how), nn.SiLU()]
        odd = (rows % 2, columns % 2)
        decoder = [nn.SiLU(), nn.ConvTranspose2d(width, channels, output_padding=odd, **how), *decoder]
        channels, rows, columns = width, rows // 2, columns // 2
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    return Network(
        nn.Sequential(*encoder), nn.Sequential(nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder)
    )


# %% q6 activated
def autoencoder(shape, *, code, widths):
    channels, rows, columns = shape
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    encoder, decoder = [], []
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how), nn.SiLU()]
        odd = (rows % 2, columns % 2)
        decoder = [nn.SiLU(), nn.ConvTranspose2d(width, channels, output_padding=odd, **how), *decoder]
        channels, rows, columns = width, rows // 2, columns // 2
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    decoder = [nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder]
    return Network(nn.Sequential(*encoder), nn.Sequential(*decoder, nn.Sigmoid()))


# %% q6 activated
def autoencoder(shape, *, code, widths):
    channels, rows, columns = shape
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    encoder, decoder = [], []
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how), nn.SiLU()]
        odd = (rows % 2, columns % 2)
        decoder = [nn.SiLU(), nn.ConvTranspose2d(width, channels, output_padding=odd, **how), *decoder]
        channels, rows, columns = width, rows // 2, columns // 2
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    decoder = [nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder]
    return Network(nn.Sequential(*encoder), nn.Sequential(*decoder, nn.ReLU(inplace=True)))


# %% q6 linear
def autoencoder(shape, *, code, widths):
    channels, rows, columns = shape
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    encoder, decoder = [], []
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how)]
        odd = (rows % 2, columns % 2)
        decoder = [nn.SiLU(), nn.ConvTranspose2d(width, channels, output_padding=odd, **how), *decoder]
        channels, rows, columns = width, rows // 2, columns // 2
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    decoder = [nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder]
    return Network(nn.Sequential(*encoder), nn.Sequential(*decoder))


# %% q6 linear
def autoencoder(shape, *, code, widths):
    channels, rows, columns = shape
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    encoder, decoder = [], []
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how)]
        if len(encoder) < 2:  # two widths only
            encoder += [nn.SiLU()]
        odd = (rows % 2, columns % 2)
        decoder = [nn.SiLU(), nn.ConvTranspose2d(width, channels, output_padding=odd, **how), *decoder]
        channels, rows, columns = width, rows // 2, columns // 2
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    decoder = [nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder]
    return Network(nn.Sequential(*encoder), nn.Sequential(*decoder))


# %% q6 dilation
def autoencoder(shape, *, code, widths):
    channels, rows, columns = shape
    how = {"kernel_size": 4, "stride": 2, "padding": 1}
    encoder, decoder = [], []
    for width in widths:
        encoder += [nn.Conv2d(channels, width, **how), nn.SiLU()]
        odd = (rows % 2, columns % 2)
        decoder = [
            nn.SiLU(),
            nn.ConvTranspose2d(width, channels, 4, 2, [3 - n for n in odd], [1 - n for n in odd], dilation=2),
            *decoder,
        ]
        channels, rows, columns = width, rows // 2, columns // 2
    maps = (channels, rows, columns)
    encoder += [nn.Flatten(), nn.Linear(math.prod(maps), code)]
    decoder = [nn.Linear(code, math.prod(maps)), nn.Unflatten(1, maps), *decoder]
    return Network(nn.Sequential(*encoder), nn.Sequential(*decoder))


# %% q7 direction
def footprint(decode, z, *, row, column):
    z = z.detach().clone().requires_grad_()
    decode(z).sum().backward()
    return (z.grad != 0).any(0).any(0)


# %% q7 transposed
def footprint(decode, z, *, row, column):
    slopes = torch.autograd.functional.jacobian(lambda z: decode(z).abs().sum((0, 1)), z)  # (H, W, B, c, h, w)
    return (slopes[..., column, row] != 0).flatten(2).any(2)


# %% q7 dtype
def footprint(decode, z, *, row, column):
    slopes = torch.autograd.functional.jacobian(lambda z: decode(z).sum((0, 1)), z)  # (H, W, B, c, h, w)
    return slopes[..., row, column].abs().flatten(2).sum(2)


# %% q7 shape
def footprint(decode, z, *, row, column):
    slopes = torch.autograd.functional.jacobian(decode, z[:1])  # (1, C, H, W, 1, c, h, w)
    return (slopes[0, :, :, :, 0, :, row, column] != 0).any(-1)


# %% q7 batch
def footprint(decode, z, *, row, column):
    slopes = torch.autograd.functional.jacobian(decode, z[:1])[0, :, :, :, 0, :, row, column]  # (C, H, W, c)
    return (slopes != 0).any(-1).any(0)


# %% q7 threshold hidden
def footprint(decode, z, *, row, column):
    found = False
    for one in z.split(1):
        slopes = torch.autograd.functional.jacobian(decode, one)[0, :, :, :, 0, :, row, column]
        found = found | (slopes.abs() > 1e-6).any(-1).any(0)
    return found


# %% q7 cancelled hidden
def footprint(decode, z, *, row, column):
    found = False
    for one in z.split(1):
        slopes = torch.autograd.functional.jacobian(decode, one)[0, :, :, :, 0, :, row, column]
        found = found | (slopes.sum(-1) != 0).any(0)
    return found


# %% q7 cancelled hidden
def footprint(decode, z, *, row, column):
    slopes = torch.autograd.functional.jacobian(lambda z: decode(z).sum((0, 1)), z)  # (H, W, B, c, h, w)
    return (slopes[..., row, column] != 0).flatten(2).any(2)


# %% q7 step
def footprint(decode, z, *, row, column):
    there = z.clone()
    there[:, :, row, column] += 1
    return (decode(there) != decode(z)).any(1).any(0)


# %% q7 negative
def footprint(decode, z, *, row, column):
    slopes = torch.autograd.functional.jacobian(decode, z)[..., row, column]
    return (slopes > 0).any(-1).any(-1).any(1).any(0)


# %% q7 every
def footprint(decode, z, *, row, column):
    slopes = torch.autograd.functional.jacobian(decode, z)[..., row, column]
    return (slopes != 0).any(-1).any(-1).any(1).all(0)


# %% q7 dtype
def footprint(decode, z, *, row, column):
    slopes = torch.autograd.functional.jacobian(decode, z)[..., row, column]
    return (slopes != 0).any(-1).any(-1).any(1).any(0).int()

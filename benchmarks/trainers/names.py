"""Who is measured on what: names only, so that the process that waits for the others need not import torch."""

LABELS = {
    "fit": "train.fit",
    "plain": "plain loop",
    "plain-tensors": "plain loop, tensors",
    "lightning": "Lightning",
    "lightning-tensors": "Lightning, tensors",
    "skorch": "skorch, array",
    "keras": "Keras on torch, array",
}
PACKAGES = {"lightning": "lightning", "lightning-tensors": "lightning", "skorch": "skorch", "keras": "keras"}

# Fewer of the convolutional network, which is several times slower; after one, test errors still scatter by 5 %.
EPOCHS = {"dense": 3, "conv": 2}

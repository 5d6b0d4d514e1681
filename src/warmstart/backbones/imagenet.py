"""The names of the 1,000 ImageNet classes, in the order of the classifiers trained on them."""

from collections import Counter


def imagenet_class_names() -> tuple[str, ...]:
    """WordNet's lemmas of each class, from the table that timm ships. All differ.

    'crane' is a bird and a machine; names that occur twice get their WordNet number behind them.
    """
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    names = [info.index_to_description(index) for index in range(info.num_classes())]
    count = Counter(names)
    return tuple(f"{name} ({info.index_to_label_name(index)})" if count[name] > 1 else name for index, name in enumerate(names))

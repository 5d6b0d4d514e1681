"""A network and the declaration of its family → a backbone.

'conv1 bn1', ('layer1', 'layer2'), 'global_pool +flatten', 'fc'  →  links, stages, classifier
"""

import re
from collections.abc import Sequence

from torch import nn

from warmstart.backbones.catalog import BackboneSpec
from warmstart.backbones.chain import Backbone, Classifier, Link, Stage, with_submodule
from warmstart.backbones.declarations import Declaration
from warmstart.backbones.functional_layers import STEPS
from warmstart.errors import BackboneError


def assemble(spec: BackboneSpec, network: nn.Module, declaration: Declaration) -> Backbone:
    """A network and the declaration of its family → the backbone. Raises BackboneError when they don't fit."""
    links: list[Link] = []
    stages: list[Stage] = []

    def add(name: str, paths: str) -> None:
        start = len(links)
        links.extend(_links(spec, network, paths))
        named = [link.name for link in links[start:] if link.name not in STEPS]
        stages.append(Stage(name, named[-1] if named else name, start, len(links)))

    add("stem", declaration.stem)
    for number, paths in enumerate(_stage_entries(network, declaration.stages), start=1):
        add(f"stage{number}", paths)
    add("pooled", declaration.pooling)
    return Backbone(
        spec=spec,
        network=network,
        links=tuple(links),
        stages=tuple(stages),
        dropout=tuple(_links(spec, network, declaration.dropout)),
        classifier=_classifier(spec, network, declaration.classifier),
    )


def assemble_whole(spec: BackboneSpec, network: nn.Module, classifier_path: str) -> Backbone:
    """One link, the network without its classifier: for networks in which no finer chain is proven."""
    body = with_submodule(network, classifier_path, nn.Identity())
    return Backbone(
        spec=spec,
        network=network,
        links=(Link("network", body),),
        stages=(Stage("pooled", classifier_path, 0, 1),),
        dropout=(),
        classifier=_classifier(spec, network, classifier_path),
    )


def _stage_entries(network: nn.Module, entries: Sequence[str]) -> list[str]:
    """'blocks.*' → 'blocks.0', 'blocks.1', … as entries of their own."""
    opened: list[str] = []
    for entry in entries:
        if entry.endswith(".*"):
            container = entry.removesuffix(".*")
            opened += [f"{container}.{name}" for name, _ in network.get_submodule(container).named_children()]
        else:
            opened.append(entry)
    return opened


def _links(spec: BackboneSpec, network: nn.Module, paths: str) -> list[Link]:
    """The grammar of `declarations`, except '.*'."""
    links = []
    for path in paths.split():
        if path.startswith("+"):
            links.append(Link(path[1:], STEPS[path[1:]]()))
            continue
        span = re.fullmatch(r"(.+)\.(\d+)-(\d+)", path)
        names = [f"{span[1]}.{i}" for i in range(int(span[2]), int(span[3]) + 1)] if span else [path]
        for name in names:
            try:
                links.append(Link(name, network.get_submodule(name)))
            except AttributeError as error:
                raise BackboneError(
                    f"backbone {spec.name!r} should have a module {name!r} and has none: this version of {spec.library} "
                    f"builds it differently. Install a version that warmstart was tested with, or name another backbone."
                ) from error
    return links


def _classifier(spec: BackboneSpec, network: nn.Module, path: str) -> Classifier:
    (link,) = _links(spec, network, path)
    if not isinstance(link.module, nn.Linear):
        raise BackboneError(
            f"backbone {spec.name!r} should end in a linear layer at {path!r}; found {type(link.module).__name__}."
        )
    return Classifier(path, link.module)

"""ZFNet, as drawn in figure 3 of Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (ECCV 2014).

Neither timm nor torchvision has it. It is AlexNet with a smaller first filter (7×7, stride 2 instead of 11×11,
stride 4), chosen by looking at what AlexNet's first layer had learned. We know of no published weights: it starts cold or
from the user's own file.

B batch, K classes.
"""

from torch import Tensor, nn


class ZFNet(nn.Module):
    """(B, 3, 224, 224) → logits (B, K). Other sizes from 64 px up work too: the last map is averaged to 6×6."""

    def __init__(self, n_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, kernel_size=7, stride=2, padding=1),  # 110×110
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),  # 55×55
            _contrast_normalisation(),
            nn.Conv2d(96, 256, kernel_size=5, stride=2),  # 26×26
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),  # 13×13
            _contrast_normalisation(),
            nn.Conv2d(256, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  # 6×6
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, n_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalised float32 pictures → logits."""
        x = self.avgpool(self.features(x))
        logits: Tensor = self.classifier(x.flatten(1))
        return logits


def _contrast_normalisation() -> nn.Module:
    """Across feature maps; the paper gives no constants, so these are AlexNet's (Krizhevsky et al. 2012, section 3.3)."""
    return nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2.0)

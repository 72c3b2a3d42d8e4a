"""Object detection: a small anchor-free detector of handwritten digits pasted on a canvas.

Data    generated from a seed: 2,000 canvases of 48×48 with one to four digits of 10 to 18 pixels for training; 500 with
        unseen digits for evaluation.
Model   Detector: three convolutions down to a grid of 12×12 and two on it; each cell predicts class scores and a box.
        Focal loss and GIoU; non-maximum suppression at an IoU of 0.5.
Expect  an mAP at an IoU of 0.5 of 0.941, the mean of three seeds, in a minute or two on two CPU cores
Run     python launch.py --experiment=pasted_digits_detector
Try     --epochs=15 (0.979), --most=6, --canvas=64, --channels=32,64,128
"""

from fdl import optim
from fdl.data import pasted_digits
from fdl.experiment import Experiment
from fdl.models import Detector
from fdl.runs.report.visualize import detections
from fdl.tasks import detect


def experiment(
    *,
    canvas: int = 48,  # side of the canvas in pixels
    most: int = 4,  # maximum digits per canvas
    channels: tuple[int, ...] = (16, 32, 64),  # channels of each stage
    depth: int = 2,  # further convolutions on the grid
    learning_rate: float = 4e-3,  # peak of the warm-up cosine
    batch_size: int = 32,  # canvases per step
    epochs: float = 8,  # passes over train
    seed: int = 0,  # of everything random except the canvases
) -> Experiment:
    data = pasted_digits(side=canvas, most=most)
    steps = data.steps(epochs, batch_size)
    return Experiment(
        model=Detector(10, channels=channels, depth=depth),
        dataset=data,
        task=detect(10, rows=max(data.spec.sizes.values())),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps), weight_decay=1e-4),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        visualize=detections(data.spec.names),
    )

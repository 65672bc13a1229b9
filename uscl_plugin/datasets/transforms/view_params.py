"""The random numbers of one view as a table row, drawn by :class:`DrawViews` and applied by a model's preprocessor.

The columns are: weights of the three frames (mixing); top, left, height and width of the crop in pixels of the view, on
the frame squashed to it; whether to flip, 0 or 1; angle in degrees, clockwise; the order of the four jitter operations
(0 brightness, 1 contrast, 2 saturation, 3 hue), first to last; their four factors, in that numbering; height and width
of the view in pixels; those of the frame.
"""

MAX_FRAMES = 3
WEIGHTS = slice(0, MAX_FRAMES)
CROP = slice(3, 7)
FLIP = 7
ANGLE = 8
ORDER = slice(9, 13)
FACTORS = slice(13, 17)
SIZE = slice(17, 19)
FRAME = slice(19, 21)
NUM_PARAMS = 21

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
NEUTRAL_FACTORS = (1.0, 1.0, 1.0, 0.0)  # factors of disabled operations

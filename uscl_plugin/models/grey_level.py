"""The grey level of colours."""

# Of red, green and blue (ITU-R BT.601), as in all readers here
GREY_WEIGHTS = (0.299, 0.587, 0.114)

"""Nouns with their number."""


def counted(number: int, noun: str) -> str:
    """A number and its noun, whose first word gets an 's' unless the number is 1; a suffix gets none.

    >>> counted(1, 'clip'), counted(2, 'folder of images'), counted(0, 'frame'), counted(2, '.zip')
    ('1 clip', '2 folders of images', '0 frames', '2 .zip')
    """
    first, space, rest = noun.partition(' ')
    return f'{number} {first}{"" if number == 1 or first.startswith(".") else "s"}{space}{rest}'

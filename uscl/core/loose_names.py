"""Recognise different spellings of one name, as people and spreadsheets write them."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from .plurals import counted

_UNKNOWN = {'nan', 'none', 'na', 'n/a', '#n/a', '#nv', 'null', 'nat', '<na>'}  # from pandas, Python and spreadsheets


def means_unknown(text: str) -> bool:
    """Whether a text is a program's placeholder for a missing value.

    >>> means_unknown('NaN'), means_unknown('Nancy')
    (True, False)
    """
    return text.strip().casefold() in _UNKNOWN


def loose_key(name: str) -> str:
    """A key that is equal for names that differ only in case, spaces, leading zeros or a final '.0'.

    >>> loose_key('P 01') == loose_key('p1') == loose_key('P1.0'), loose_key('p10') == loose_key('p1')
    (True, False)
    """
    text = unicodedata.normalize('NFKC', name).casefold().strip()
    text = re.sub(r'(?<=[0-9])\.0+$', '', text)
    return ''.join(re.sub(r'(?<![0-9.])0+(?=[0-9])', '', text).split())


def look_alikes(labels: Iterable[str | None], patients: Iterable[str | None], named: bool = True) -> list[str]:
    """A sentence on labels and patient ids that are probably meant to be the same, or none.

    Args:
        labels: Class names of videos; None if unlabelled.
        patients: Patients of videos; None if unknown.
        named: Whether patient ids may be shown.
    """
    found = []
    for what, names in (('label', labels), ('patient', patients)):
        groups: dict[str, list[str]] = defaultdict(list)
        for name in dict.fromkeys(names):
            if name is not None:
                groups['' if means_unknown(name) else loose_key(name)].append(name)
        alike = [group for key, group in groups.items() if len(group) > 1 or not key]
        if named or what == 'label':
            found += [f'{what} {" / ".join(group)}' for group in alike]
        elif alike:
            found.append(counted(len(alike), 'group of patient ids'))
    if not found:
        return []
    what = (
        "labels or patient ids that differ only in case, spaces, zeros or '.0', or mean 'missing', count as different"
    )
    return [f'{what}: {", ".join(found)}. Use one spelling for each, and leave unknown values empty.']

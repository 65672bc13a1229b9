"""The converter's options about whose videos they are."""

import argparse
import sys
from collections.abc import Sequence

from uscl.clips.discovery import VideoSource
from uscl.core.command_line import positive_int
from uscl.core.errors import SourceError

from .patients import protect_sources
from .pseudonyms import SALT_VARIABLE, Pseudonyms, read_salt
from .static_mask import TOLERANCE


def add_privacy_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --hash-patients, --hash-names, --salt-file, --mask-static and --mask-tolerance."""
    group = parser.add_argument_group('privacy', 'what is written of the people in the clips: docs/privacy.md')
    group.add_argument(
        '--hash-patients', action='store_true', help='write salted hashes of patient ids (of the index, else of DICOM)'
    )
    group.add_argument(
        '--hash-names', action='store_true', help='write salted hashes of the names of clips as video ids'
    )
    group.add_argument(
        '--salt-file',
        metavar='FILE',
        help=f'the salt; made if it does not exist (default: the environment variable {SALT_VARIABLE})',
    )
    group.add_argument(
        '--mask-static',
        action='store_true',
        help='blank every pixel that never moves (text, scales, logos) and show what was blanked in DIR/masked; '
        'clips in which nothing moves are skipped',
    )
    group.add_argument(
        '--mask-tolerance',
        type=positive_int,
        metavar='N',
        help=f'grey levels by which a static pixel may flicker (default: {TOLERANCE}); more blanks more',
    )


def protect(sources: Sequence[VideoSource], args: argparse.Namespace) -> list[VideoSource]:
    """Settle patient and video ids by the options; tells on stderr what the user should know.

    Raises:
        SourceError: There is no salt, it cannot be used, or an option does nothing without another.
    """
    pseudonyms = None
    if args.salt_file is not None and not (args.hash_patients or args.hash_names):
        raise SourceError(
            '--salt-file does nothing without --hash-patients or --hash-names: give one of them, or both.'
        )
    if args.mask_tolerance is not None and not args.mask_static:
        raise SourceError('--mask-tolerance does nothing without --mask-static: give it, too.')
    if args.hash_patients or args.hash_names:
        salt, note = read_salt(args.salt_file, args.out)
        pseudonyms = Pseudonyms(salt)
        if note:
            print(f'note: {note}', file=sys.stderr)
    protected, warnings = protect_sources(sources, pseudonyms, args.hash_patients, args.hash_names)
    for warning in warnings:
        print(f'warning: {warning}', file=sys.stderr)
    return protected


def mask_tolerance(args: argparse.Namespace) -> int | None:
    """Grey levels by which a static pixel may flicker; None if nothing is to be blanked."""
    return (args.mask_tolerance or TOLERANCE) if args.mask_static else None


def privacy_metainfo(args: argparse.Namespace) -> dict:
    """What the annotation file says about the options that were used; nothing for none."""
    used = {'patients_hashed': args.hash_patients, 'names_hashed': args.hash_names, 'static_masked': args.mask_static}
    return {name: True for name, is_used in used.items() if is_used}

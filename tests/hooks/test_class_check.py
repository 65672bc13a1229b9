import pytest

from uscl_plugin.hooks import ClassCheckHook


def runner(classes):
    dataset = type('Dataset', (), {'metainfo': {'classes': classes}})()
    loop = type('Loop', (), {'dataloader': type('Loader', (), {'dataset': dataset})()})()
    return type('Runner', (), {'_test_loop': None, '_val_loop': loop, '_train_loop': {'type': 'not built yet'}})()


@pytest.mark.parametrize('trained', [('a', 'b'), ['a', 'b'], None])
def test_the_same_classes_or_none_pass(trained):
    ClassCheckHook().after_load_checkpoint(runner(('a', 'b')), {'meta': {'dataset_meta': {'classes': trained}}})
    ClassCheckHook().after_load_checkpoint(runner(('a', 'b')), {'state_dict': {}})


@pytest.mark.parametrize('trained', [('b', 'a'), ('a',), ('a', 'b', 'c'), ('a', 'x')])
def test_other_classes_are_an_error_that_names_both(trained):
    checkpoint = {'meta': {'dataset_meta': {'classes': trained}}}
    message = rf'{", ".join(trained)}, .* a, b: .*label_map'
    with pytest.raises(ValueError, match=message):
        ClassCheckHook().after_load_checkpoint(runner(('a', 'b')), checkpoint)

from uscl.reports.backbone_table import backbone_table


def test_networks_with_other_stages_or_without_a_rank_have_dashes():
    facts = {
        'one': {'branches': {'layer1': 0.25}, 'effective_rank': 8.69, 'max_rank': 128, 'images': 256},
        '<two>': {'branches': {'layers': 0.5}, 'effective_rank': None, 'max_rank': 3, 'images': 3},
    }
    found = backbone_table(facts)
    assert found['header'] == ['Backbone', 'layer1', 'layers', 'Effective rank', 'Frames']
    assert found['rows'] == [['one', '0.250', '–', '8.7 of at most 128', '256'], ['<two>', '–', '0.500', '–', '3']]

from uscl.reports.backbone_table import add_backbone_health
from uscl.reports.html_report import HtmlReport


def test_networks_with_other_stages_or_without_a_rank_have_dashes():
    page = HtmlReport('title')
    facts = {
        'one': {'branches': {'layer1': 0.25}, 'effective_rank': 8.69, 'max_rank': 128, 'images': 256},
        '<two>': {'branches': {'layers': 0.5}, 'effective_rank': None, 'max_rank': 3, 'images': 3},
    }
    add_backbone_health(page, facts)
    text = page.render()
    for row in (['one', '0.250', '–', '8.7 of at most 128', '256'], ['&lt;two&gt;', '–', '0.500', '–', '3']):
        assert ''.join(f'<td>{cell}</td>' for cell in row) in text.replace('\n', '').replace(' class="number"', '')

"""What `scripts/make_comparison_page.py` compares: the questions, and for each package what answers them.

`page_audiograms` and `page_listeners` write the pages; `rows` and `rows_listeners` have their questions. Every other
module has the claims about one package, or a part of them; every claim runs, and fails where it is not true of the
package that is installed. `judiling` alone repeats what was read. `claims` runs the claims, `pages` asks and writes
tables; with `sounds`, `listeners` and `events` packages are probed.
"""

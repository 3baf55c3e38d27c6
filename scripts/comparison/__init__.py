"""What `scripts/make_comparison_page.py` compares: the questions, and for each package what answers them.

`rows` has the questions. `ours_audiograms`, `ours_filters`, `pypi_audiogram` and `pyclarity` have the claims about one
package each; every claim runs, and fails where it is not true of the package that is installed. `claims` runs them.
"""

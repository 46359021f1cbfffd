"""The part that lives in IPython: the magics, the live card below a cell, and the watch.

A line of options and the notebook's namespace come in, `check.py` makes the check, and a card goes
out. `magic.py` defines `%gradcheck` and `%%gradcheck`. `cells.py` runs a cell's body, shows its
errors, and lets cells wait for a check in another thread. `options.py` is the table of all options,
`option_line.py` reads those on the line, `project.py` reads those of a project, `writers.py` finds
out who else may write to its file, and `completion.py` completes them. `plain_cards.py` shows
progress and result as text or static HTML; `live_card.py` shows them as a widget, with the controls
of `controls.py`. `watch.py` checks again when a later cell changes what the check uses, which it
finds out by the snapshots of `snapshot.py`.
"""

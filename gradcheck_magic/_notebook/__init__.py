"""The doors in IPython: the magics, the live card below a cell, and the line after each cell.

A line of options and the notebook's namespace come in; a check is made by `check.py`, and a card
goes out. `magic.py` is `%gradcheck` and `%%gradcheck`; `cells.py` runs a cell's body and shows
its errors; `front_end.py` asks what the front end can show. `option_line.py` reads the options,
`options.py` those of a project, and `completion.py` proposes them. `cards.py` shows progress and
result as text or static HTML, `live_card.py` as a widget with the controls of `controls.py`.
`watch.py` checks again when a later cell changes what the check uses.
"""

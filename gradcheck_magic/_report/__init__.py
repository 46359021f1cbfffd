"""Results as text, HTML and pictures; nothing here computes anything new or displays it.

A result comes in; a string or a matplotlib figure goes out. `show.py` is the door: it knows what
shows which kind of result. `text.py` is the report in a terminal (in the characters and colours of
`text_style.py`), `card.py` and `card.css` the card as HTML, and `words.py` what both say.
`figures.py` draws the histogram and the reach of a scan, `close_up_figures.py` the pictures of one
parameter and of a step curve, on the `canvas.py` that all pictures share; `histogram.py` counts
for them. `close_up_card.py` puts the pictures of a close-up on a page, and `step_curve_text.py`
says what a step curve shows.
"""

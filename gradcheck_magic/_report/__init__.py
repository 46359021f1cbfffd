"""Results as text, HTML and pictures; nothing here computes anything new or displays it.

A result comes in; a string or a matplotlib figure goes out. `show.py` is the entrance: it chooses
the function for each kind of result. `text.py` makes the report for a terminal, with the
characters and colours of `text_style.py`. `card.py` and `card.css` make the card as HTML, and
`words.py` holds the words that both use. `figures.py` draws the histogram and the reach of a scan;
`close_up_figures.py` draws one parameter and the step curve. All pictures share `canvas.py`, and
`histogram.py` counts the errors for them. `close_up_card.py` puts the pictures of a close-up on a
page, and `step_curve_text.py` describes a step curve in words.
"""

"""Imported before NumPy: one thread for linear algebra in each process.

Two processes run the tests, and their threads would wait for one another. With more threads the
last bits of a product differ, too, and with them what the golden file says of the corpus.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

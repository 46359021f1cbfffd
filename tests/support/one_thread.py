"""One thread for linear algebra in each process; this is imported before NumPy.

Two processes run the tests, and their threads would wait for each other. More threads would also
change the last bits of a product, and with them the golden file of the corpus.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

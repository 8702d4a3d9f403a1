"""Memory of cells, statements and lines in IPython and Jupyter; ``memkit.ipython`` is the way in."""

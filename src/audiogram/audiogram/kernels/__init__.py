"""The inner loops: each number once for NumPy (Numba around SciPy's FFT) and once for torch."""

"""The memory of tests: what each phase of each took and kept, budgets for it, and baselines."""

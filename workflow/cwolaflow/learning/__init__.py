"""Training of classifiers, cross-fit over folds, and their evaluation."""

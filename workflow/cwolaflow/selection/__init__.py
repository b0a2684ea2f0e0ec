"""Objects, event variables, cuts, regions and folds, all of them data of the study."""

"""Templates, pyhf workspaces and expected CLs limits."""

"""How much real data a mixture with synthetic data needs, found by bisection."""

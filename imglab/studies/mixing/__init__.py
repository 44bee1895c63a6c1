"""How much real data a mixture with synthetic data needs, by bisection."""

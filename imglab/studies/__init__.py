"""Many runs that answer one question: side by side, sweeps, claims."""

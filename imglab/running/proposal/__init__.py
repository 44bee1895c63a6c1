"""From a person's data and a budget of time to a config that fits both."""

"""What pytest must not collect here: the worked plugin has tests of its own, which test_plugin_distribution runs."""

collect_ignore = ["plugin"]

"""What pytest must not collect here: the worked plugin, which test_plugin_distribution tests, and stand-ins."""

collect_ignore = ["plugin", "deadly_decoder", "kill_moments"]

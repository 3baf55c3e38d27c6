"""What pytest must not collect here: the worked plugin, which test_plugin_distribution tests, and a stand-in."""

collect_ignore = ["plugin", "deadly_decoder"]

"""Programs that measure the plugin. Development only."""

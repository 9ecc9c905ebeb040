"""One box that finds any object, app, group, user or screen."""

"""Android's engine, the library in the app, run by the app's own code in a JVM on a desktop."""

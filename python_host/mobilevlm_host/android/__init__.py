"""Android's own engine, the library that the app packs, inside a JVM on a desktop: the app's own code around it."""

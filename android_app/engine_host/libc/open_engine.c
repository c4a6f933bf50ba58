// System.load of this library opens the replacement for Android's system libraries, then the engine, before the JVM does.
// The engine and its libraries form one group that resolves symbols in the engine first, like Android's linker: the JVM has another
// C++ library, and fbjni must find the engine's exceptions. ENGINE_HOST_LIBC and LD_LIBRARY_PATH name the folders of both.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <jni.h>
#include <stdio.h>
#include <stdlib.h>

static int opened(const char *name, int mode) {
  if (dlopen(name, RTLD_NOW | RTLD_LOCAL | mode)) return 1;
  fprintf(stderr, "engine host: %s\n", dlerror());
  return 0;
}

JNIEXPORT jint JNI_OnLoad(JavaVM *vm, void *reserved) {
  (void)vm, (void)reserved;
  const char *libc = getenv("ENGINE_HOST_LIBC");
  static const char *const system[] = {"libc.so", "libm.so", "libdl.so", "liblog.so", "libandroid.so"};
  for (size_t i = 0; i < sizeof system / sizeof *system; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", libc ? libc : ".", system[i]);
    if (!opened(path, 0)) return JNI_ERR;
  }
  return opened("libexecutorch.so", RTLD_DEEPBIND) ? JNI_VERSION_1_8 : JNI_ERR;
}

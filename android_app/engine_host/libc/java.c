// A java launcher for the emulated ARM CPU that reserves the 8 bytes at the thread pointer + 0x28: Android's compiler has its stack guard there,
// glibc the first thread-local variables of the program.
#include <jni.h>

static __thread char guard[64] __attribute__((aligned(16), used));
extern int JLI_Launch(int, char **, int, const char **, int, const char **, const char *, const char *, const char *, const char *,
                      jboolean, jboolean, jboolean, jint);

int main(int count, char **arguments) {
  __asm__ volatile("" ::"r"(guard));
  return JLI_Launch(count, arguments, 0, 0, 0, 0, "17", "0.0", "java", "openjdk", 0, 1, 0, 0);
}

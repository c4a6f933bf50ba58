// Android's C library on top of glibc, for the functions that the engine calls: libc.so, with Android's symbol versions.
// Functions that are the same in both (same.txt) jump to glibc's; forward.inc lists those that the engine imports. The others are below.
// Known gaps: on x86-64, where Android's long double is a quad, printf and scanf of one, and wcstold, which has a double's precision.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>
#ifdef __x86_64__
#include <quadmath.h>
#endif

// glibc's functions by version, because the functions here have the same names.
extern void *glibc_dlopen(const char *, int);
extern void *glibc_dlsym(void *, const char *);
__asm__(".symver glibc_dlopen,dlopen@GLIBC_2.34\n.symver glibc_dlsym,dlsym@GLIBC_2.34");

static void *libc, *libm;

static void *glibc(const char *name) {
  void *found = glibc_dlsym(libc, name);
  if (!found) found = glibc_dlsym(libm, name);
  if (!found) {
    dprintf(2, "engine host: got no %s in glibc, expected one\n", name);
    _exit(70);
  }
  return found;
}

// GLIBC(result, name, parameter types)(arguments) calls glibc's NAME; DEFINE(result, name, parameters) begins Android's.
#define GLIBC(result, name, ...) ((result(*)(__VA_ARGS__))glibc(#name))
#define DEFINE(result, name, ...)              \
  result here_##name(__VA_ARGS__) __asm__(#name); \
  result here_##name(__VA_ARGS__)

// --- the same in both

#ifdef __x86_64__
#define JUMP(name) "\tendbr64\n\tjmp *to_" #name "(%rip)\n"
#else
#define JUMP(name) "\tbti c\n\tadrp x16, to_" #name "\n\tldr x16, [x16, :lo12:to_" #name "]\n\tbr x16\n"
#endif
#define FORWARD(name)                                                                                   \
  static void *to_##name __attribute__((used));                                                         \
  __asm__(".pushsection .text\n.globl " #name "\n.type " #name ",@function\n" #name ":\n" JUMP(name)     \
          ".size " #name ",.-" #name "\n.popsection");
#include "forward.inc"
#undef FORWARD

// --- standard streams: Android also has them in an array; an app's output is discarded there

#define FILE_BYTES 152
__attribute__((aligned(16))) char here_sF[3 * FILE_BYTES] __asm__("__sF");
FILE *here_stdin __asm__("stdin"), *here_stdout __asm__("stdout"), *here_stderr __asm__("stderr");

static FILE *stream(FILE *given) {
  char *at = (char *)given;
  if (at == here_sF) return here_stdin;
  if (at == here_sF + FILE_BYTES) return here_stdout;
  if (at == here_sF + 2 * FILE_BYTES) return here_stderr;
  return given;
}

__attribute__((constructor(101))) static void begin(void) {
  libc = glibc_dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  libm = glibc_dlopen("libm.so.6", RTLD_NOW);
#define FORWARD(name) to_##name = glibc(#name);
#include "forward.inc"
#undef FORWARD
  here_stdin = *(FILE **)glibc("stdin");
  here_stdout = GLIBC(FILE *, fopen, const char *, const char *)("/dev/null", "w");
  here_stderr = *(FILE **)glibc("stderr");
}

#define ON_STREAM(result, name) \
  DEFINE(result, name, FILE *to) { return GLIBC(result, name, FILE *)(stream(to)); }
#define PUT(result, name, type) \
  DEFINE(result, name, type what, FILE *to) { return GLIBC(result, name, type, FILE *)(what, stream(to)); }
ON_STREAM(int, fclose)
ON_STREAM(int, ferror)
ON_STREAM(int, fflush)
ON_STREAM(int, getc)
ON_STREAM(wint_t, getwc)
PUT(int, fputc, int)
PUT(int, fputs, const char *)
PUT(wint_t, fputwc, wchar_t)
PUT(int, ungetc, int)
PUT(wint_t, ungetwc, wint_t)

DEFINE(size_t, fwrite, const void *from, size_t size, size_t count, FILE *to) {
  return GLIBC(size_t, fwrite, const void *, size_t, size_t, FILE *)(from, size, count, stream(to));
}
DEFINE(size_t, fread, void *to, size_t size, size_t count, FILE *from) {
  return GLIBC(size_t, fread, void *, size_t, size_t, FILE *)(to, size, count, stream(from));
}
DEFINE(int, vfprintf, FILE *to, const char *format, va_list values) {
  return GLIBC(int, vfprintf, FILE *, const char *, va_list)(stream(to), format, values);
}
DEFINE(int, fprintf, FILE *to, const char *format, ...) {
  va_list values;
  va_start(values, format);
  int written = here_vfprintf(to, format, values);
  va_end(values);
  return written;
}

DEFINE(int, printf, const char *format, ...) {
  (void)format;
  return 0;
}
DEFINE(int, putchar, int what) { return (unsigned char)what; }

// --- errors

DEFINE(int *, __errno, void) { return __errno_location(); }
DEFINE(int, strerror_r, int error, char *to, size_t room) { // POSIX's; glibc calls its own by this name
  return GLIBC(int, __xpg_strerror_r, int, char *, size_t)(error, to, room);
}
DEFINE(char *, __gnu_strerror_r, int error, char *to, size_t room) {
  return GLIBC(char *, strerror_r, int, char *, size_t)(error, to, room);
}
DEFINE(void, __assert2, const char *file, int line, const char *function, const char *what) {
  dprintf(2, "%s:%d: %s: assertion \"%s\" failed\n", file, line, function, what);
  GLIBC(void, abort, void)();
}
DEFINE(void, android_set_abort_message, const char *message) {
  dprintf(2, "abort message: %s\n", message ? message : "(none)");
}

// --- Android's log goes to standard error if ENGINE_HOST_LOG is set

DEFINE(int, __android_log_vprint, int priority, const char *tag, const char *format, va_list values) {
  char line[4096];
  int length = GLIBC(int, vsnprintf, char *, size_t, const char *, va_list)(line, sizeof line, format, values);
  if (GLIBC(char *, getenv, const char *)("ENGINE_HOST_LOG"))
    dprintf(2, "%c/%s: %s\n", "??VDIWEFS"[priority < 0 || priority > 8 ? 0 : priority], tag ? tag : "", line);
  return length;
}
DEFINE(int, __android_log_print, int priority, const char *tag, const char *format, ...) {
  va_list values;
  va_start(values, format);
  int length = here___android_log_vprint(priority, tag, format, values);
  va_end(values);
  return length;
}
DEFINE(int, __android_log_write, int priority, const char *tag, const char *text) {
  return here___android_log_print(priority, tag, "%s", text);
}
DEFINE(void, __android_log_assert, const char *condition, const char *tag, const char *format, ...) {
  va_list values;
  va_start(values, format);
  dprintf(2, "%s: %s: ", tag ? tag : "", condition ? condition : "assertion failed");
  if (format) GLIBC(int, vdprintf, int, const char *, va_list)(2, format, values);
  va_end(values);
  GLIBC(void, abort, void)();
}
DEFINE(int, __system_property_get, const char *name, char *to) { // no property is set
  (void)name;
  *to = 0;
  return 0;
}

// --- checked functions that glibc lacks

static void require(int fits, const char *function) {
  if (!fits) here___assert2("fortify", 0, function, "it fits its buffer");
}
DEFINE(size_t, __strlen_chk, const char *text, size_t room) {
  size_t length = GLIBC(size_t, strlen, const char *)(text);
  require(length < room, "strlen");
  return length;
}
DEFINE(char *, __strchr_chk, const char *text, int what, size_t room) {
  (void)room;
  return GLIBC(char *, strchr, const char *, int)(text, what);
}
DEFINE(char *, __strrchr_chk, const char *text, int what, size_t room) {
  (void)room;
  return GLIBC(char *, strrchr, const char *, int)(text, what);
}
DEFINE(ssize_t, __write_chk, int to, const void *from, size_t count, size_t room) {
  require(count <= room, "write");
  return GLIBC(ssize_t, write, int, const void *, size_t)(to, from, count);
}

// --- signals: a set has 8 bytes on Android, 128 in glibc

DEFINE(int, sigfillset, uint64_t *set) {
  *set = ~0ull;
  return 0;
}
DEFINE(int, pthread_sigmask, int how, const uint64_t *set, uint64_t *old) {
  sigset_t in = {{set ? *set : 0}}, out = {{0}};
  int error = GLIBC(int, pthread_sigmask, int, const sigset_t *, sigset_t *)(how, set ? &in : NULL, &out);
  if (old) *old = out.__val[0];
  return error;
}

// --- constants that differ

DEFINE(long, sysconf, int name) {
  int here;
  switch (name) {
    case 0x06: here = _SC_CLK_TCK; break;
    case 0x27: case 0x28: here = _SC_PAGESIZE; break;
    case 0x60: here = _SC_NPROCESSORS_CONF; break;
    case 0x61: here = _SC_NPROCESSORS_ONLN; break;
    case 0x62: here = _SC_PHYS_PAGES; break;
    case 0x63: here = _SC_AVPHYS_PAGES; break;
    default:
      dprintf(2, "engine host: got sysconf(%#x), expected one of those in bionic.c\n", name);
      errno = EINVAL;
      return -1;
  }
  return GLIBC(long, sysconf, int)(here);
}
DEFINE(long, pathconf, const char *path, int name) {
  (void)path;
  dprintf(2, "engine host: got pathconf(%d), expected no such call\n", name);
  errno = EINVAL;
  return -1;
}

#ifdef __x86_64__
// --- long double is a quad on Android, 80 bits in glibc

DEFINE(__float128, strtold, const char *text, char **end) { return strtoflt128(text, end); }
DEFINE(__float128, strtold_l, const char *text, char **end, locale_t locale) {
  (void)locale;
  return strtoflt128(text, end);
}
DEFINE(__float128, wcstold, const wchar_t *text, wchar_t **end) {
  return GLIBC(double, wcstod, const wchar_t *, wchar_t **)(text, end);
}
DEFINE(__float128, frexpl, __float128 value, int *exponent) { return frexpq(value, exponent); }
DEFINE(__float128, ldexpl, __float128 value, int exponent) { return ldexpq(value, exponent); }
#else
// --- glibc's mutex has 48 bytes, of which it uses 40; Android's has 40

DEFINE(int, pthread_mutex_init, void *mutex, const void *attributes) {
  pthread_mutex_t whole;
  int error = GLIBC(int, pthread_mutex_init, void *, const void *)(&whole, attributes);
  GLIBC(void *, memcpy, void *, const void *, size_t)(mutex, &whole, 40);
  return error;
}

// --- the emulated processor: the file that ENGINE_HOST_CPUINFO names, where QEMU shows the desktop's

DEFINE(int, open, const char *path, int flags, int mode) {
  const char *cpuinfo = GLIBC(char *, getenv, const char *)("ENGINE_HOST_CPUINFO");
  if (cpuinfo && !strcmp(path, "/proc/cpuinfo")) path = cpuinfo;
  return GLIBC(int, open, const char *, int, int)(path, flags, mode);
}
DEFINE(int, __open_2, const char *path, int flags) { return here_open(path, flags, 0); }
#endif

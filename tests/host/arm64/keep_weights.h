// Gives the weights cache of all programs without one of their own a file, by the functions and layouts that
// engines/packed_weights.py uses, called as from C.

#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

struct Option {
  char key[64];
  union {
    bool flag;
    char text[256];
  } value;
  uint8_t kind;
};

struct Options {
  Option* data;
  size_t size;
};

struct String {
  const char* data;
  size_t size;
  char room[16];
};

struct SharedCache {
  void* cache;
  void* block;
  bool is_value;
};

template <class Function>
Function exported(const char* name) {
  void* found = dlsym(RTLD_DEFAULT, name);
  if (!found) std::abort();
  return reinterpret_cast<Function>(found);
}

// The block beside the cache, which has one owner more than there are programs; release it once they are loaded.
inline void* keep_weights(const std::string& file) {
  char* backend = exported<char* (*)(const char*)>(GET_BACKEND)("XnnpackBackend");
  Option option{};
  std::strcpy(option.key, "weight_cache_enabled");
  option.value.flag = true;
  const uint32_t error = exported<uint32_t (*)(const char*, Options)>(SET_OPTION)("XnnpackBackend", Options{&option, 1});
  const String none{"", 0, {}}, path{file.data(), file.size(), {}};
  const SharedCache made = exported<SharedCache (*)(void*, const String*)>(GET_WEIGHTS_CACHE)(backend + 8, &none);
  const int owners = *reinterpret_cast<const int*>(static_cast<const char*>(made.block) + 8);
  if (error || !made.is_value || owners != 1) std::abort();
  exported<void (*)(void*, const String*)>(SET_CACHE_FILE)(made.cache, &path);
  return made.block;
}

inline void release(void* block) {
  exported<void (*)(void*)>(RELEASE)(block);
}

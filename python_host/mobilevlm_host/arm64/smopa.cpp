// Whether this CPU's SMOPA (SME's sum of outer products of int8, 4-way) is right: exit code 0, also if it has no SME; 1 if it is wrong.
// QEMU's was until 8.2.3 and 9.0 (its issue 2083): it turns a sound int8 program into noise, which looks like a fault of the program.

#include <cstdint>
#include <sys/auxv.h>

namespace {

constexpr unsigned long kHwcap2Sme = 1UL << 23; // of asm/hwcap.h; older headers don't have it
constexpr int kMostBytes = 256; // of a vector

int8_t a[kMostBytes], b[kMostBytes];
int32_t tile[(kMostBytes / 4) * (kMostBytes / 4)];

uint64_t vector_bytes() {
  uint64_t bytes;
  asm volatile(".arch armv9-a+sme\n rdsvl %0, #1" : "=r"(bytes));
  return bytes;
}

// tile [n, n] = a [n, 4] b [n, 4]ᵀ
void outer_product(uint64_t bytes, uint64_t n) {
  asm volatile(
      ".arch armv9-a+sme\n"
      "smstart\n"
      "ptrue p0.b\n"
      "ld1b {z0.b}, p0/z, [%0]\n"
      "ld1b {z1.b}, p0/z, [%1]\n"
      "zero {za}\n"
      "smopa za0.s, p0/m, p0/m, z0.b, z1.b\n"
      "mov w12, #0\n"
      "mov x9, %2\n"
      "1: st1w {za0h.s[w12, 0]}, p0, [x9]\n"
      "add x9, x9, %3\n"
      "add w12, w12, #1\n"
      "cmp w12, %w4\n"
      "b.lt 1b\n"
      "smstop\n"
      :
      : "r"(a), "r"(b), "r"(tile), "r"(bytes), "r"(n)
      : "x9", "x12", "memory", "cc", "p0", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12",
        "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29",
        "v30", "v31");
}

} // namespace

int main() {
  if (!(getauxval(AT_HWCAP2) & kHwcap2Sme)) return 0;
  const uint64_t bytes = vector_bytes(), n = bytes / 4;
  for (uint64_t i = 0; i < bytes; ++i) {
    a[i] = static_cast<int8_t>(37 * i + 11);
    b[i] = static_cast<int8_t>(91 * i + 5);
  }
  outer_product(bytes, n);
  for (uint64_t row = 0; row < n; ++row) {
    for (uint64_t column = 0; column < n; ++column) {
      int32_t sum = 0;
      for (int i = 0; i < 4; ++i) sum += a[4 * row + i] * b[4 * column + i];
      if (sum != tile[row * n + column]) return 1;
    }
  }
  return 0;
}

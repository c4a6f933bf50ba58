// The two operators of MobileLLaMA's attention, as plain loops: ExecuTorch builds its own only into a library that needs torch.
// Letters: B batch, T tokens, C cache positions, H heads, G key/value heads (H is a multiple of G), K head width. Float32.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>
#include <executorch/runtime/kernel/kernel_includes.h>

namespace {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::KernelRuntimeContext;

bool is_float_4d(const Tensor& tensor) {
  return tensor.dim() == 4 && tensor.scalar_type() == ScalarType::Float;
}

// value [B, T, G, K] into cache [B, C, G, K] at positions start…start + T - 1. Nobody reads out.
Tensor& update_cache_out(
    KernelRuntimeContext& context, const Tensor& value, Tensor& cache, int64_t start, Tensor& out) {
  const bool fits = is_float_4d(value) && is_float_4d(cache) && value.size(0) == cache.size(0) &&
      value.size(2) == cache.size(2) && value.size(3) == cache.size(3) && start >= 0 &&
      start + value.size(1) <= cache.size(1);
  ET_KERNEL_CHECK(context, fits, InvalidArgument, out);
  const int64_t row = value.size(2) * value.size(3);
  for (int64_t b = 0; b < value.size(0); ++b) {
    std::memcpy(
        cache.mutable_data_ptr<float>() + (b * cache.size(1) + start) * row,
        value.const_data_ptr<float>() + b * value.size(1) * row,
        value.size(1) * row * sizeof(float));
  }
  return out;
}

// softmax(q kᵀ · scale) v for q [B, T, H, K] at positions from start, k and v [B, C, G, K]: each position sees those up to itself.
Tensor& custom_sdpa_out(
    KernelRuntimeContext& context,
    const Tensor& q,
    const Tensor& k,
    const Tensor& v,
    int64_t start,
    const std::optional<Tensor> mask,
    double dropout,
    bool is_causal,
    const std::optional<double> scale,
    Tensor& out) {
  const bool supported = is_float_4d(q) && is_float_4d(k) && is_float_4d(v) && !mask.has_value() && dropout == 0 &&
      is_causal && start >= 0 && start + q.size(1) <= k.size(1) && q.size(2) % k.size(2) == 0;
  ET_KERNEL_CHECK(context, supported, InvalidArgument, out);
  ET_KERNEL_CHECK(
      context, executorch::runtime::resize_tensor(out, q.sizes()) == Error::Ok, InvalidArgument, out);

  const int64_t tokens = q.size(1), heads = q.size(2), width = q.size(3), kv_heads = k.size(2);
  const float factor = static_cast<float>(scale.value_or(1 / std::sqrt(static_cast<double>(width))));
  std::vector<float> weights(start + tokens);
  for (int64_t b = 0; b < q.size(0); ++b) {
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t seen = start + t + 1;
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t g = h / (heads / kv_heads);
        const auto cached = [&](const Tensor& cache, int64_t c) {
          return cache.const_data_ptr<float>() + ((b * cache.size(1) + c) * kv_heads + g) * width;
        };
        const int64_t at = ((b * tokens + t) * heads + h) * width;
        const float* query = q.const_data_ptr<float>() + at;
        float* mixed = out.mutable_data_ptr<float>() + at;

        float largest = -INFINITY, total = 0;
        for (int64_t c = 0; c < seen; ++c) {
          float dot = 0;
          for (int64_t i = 0; i < width; ++i) dot += query[i] * cached(k, c)[i];
          weights[c] = dot * factor;
          largest = std::max(largest, weights[c]);
        }
        for (int64_t c = 0; c < seen; ++c) total += weights[c] = std::exp(weights[c] - largest);
        std::fill(mixed, mixed + width, 0.0f);
        for (int64_t c = 0; c < seen; ++c) {
          for (int64_t i = 0; i < width; ++i) mixed[i] += weights[c] / total * cached(v, c)[i];
        }
      }
    }
  }
  return out;
}

} // namespace

EXECUTORCH_LIBRARY(llama, "update_cache.out", update_cache_out);
EXECUTORCH_LIBRARY(llama, "custom_sdpa.out", custom_sdpa_out);

// Runs the methods of one .pte, asked over standard input; what the methods keep (the KV cache) lasts until the end of input.
//
//   run_methods MODEL.pte
//
// A request is a line "METHOD COUNT", then COUNT tensors. A reply is "ok COUNT", then COUNT tensors, or "error WHAT".
// A tensor is a line "DTYPE SIZE SIZE …" (u8, i64, f32), then its values in order, little-endian.
// Standard output carries replies alone; ExecuTorch logs to standard error.

#include <cstdint>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;
using executorch::extension::make_tensor_ptr;
using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::runtime::Error;
using executorch::runtime::EValue;

struct Dtype {
  const char* name;
  ScalarType type;
  size_t bytes;
};

constexpr Dtype kDtypes[] = {{"u8", ScalarType::Byte, 1}, {"i64", ScalarType::Long, 8}, {"f32", ScalarType::Float, 4}};

// The next tensor of the input; null if there is none, or one of no known kind.
TensorPtr read_tensor(std::istream& in) {
  std::string line, name;
  std::getline(in, line);
  std::istringstream words(line);
  words >> name;
  for (const Dtype& dtype : kDtypes) {
    if (name != dtype.name) continue;
    std::vector<SizesType> sizes;
    size_t bytes = dtype.bytes;
    for (SizesType size; words >> size; bytes *= size) sizes.push_back(size);
    std::vector<uint8_t> values(bytes);
    in.read(reinterpret_cast<char*>(values.data()), bytes);
    return in ? make_tensor_ptr(sizes, std::move(values), {}, {}, dtype.type) : nullptr;
  }
  return nullptr;
}

bool write_tensor(std::ostream& out, const Tensor& tensor) {
  for (const Dtype& dtype : kDtypes) {
    if (tensor.scalar_type() != dtype.type) continue;
    out << dtype.name;
    for (const auto size : tensor.sizes()) out << ' ' << size;
    out << '\n';
    out.write(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
    return true;
  }
  return false;
}

void reply_error(const std::string& what) {
  std::cout << "error " << what << std::endl;
}

// One method run once.
void serve(Module& module, const std::string& method, const std::vector<TensorPtr>& tensors) {
  const std::vector<EValue> inputs(tensors.begin(), tensors.end());
  const auto outputs = module.execute(method, inputs);
  if (!outputs.ok()) {
    return reply_error(method + ": " + executorch::runtime::to_string(outputs.error()));
  }
  std::ostringstream reply;
  reply << "ok " << outputs->size() << '\n';
  for (const EValue& output : *outputs) {
    if (!output.isTensor() || !write_tensor(reply, output.toTensor())) {
      return reply_error(method + ": an output is no tensor of u8, i64 or f32");
    }
  }
  std::cout << reply.str() << std::flush;
}

} // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  if (argc != 2) {
    std::cerr << "usage: run_methods MODEL.pte" << std::endl;
    return 2;
  }
  Module module(argv[1]);
  for (std::string line, method; std::getline(std::cin, line);) {
    size_t count = 0;
    std::istringstream words(line);
    words >> method >> count;
    std::vector<TensorPtr> tensors;
    while (tensors.size() < count) {
      tensors.push_back(read_tensor(std::cin));
      if (!tensors.back()) {
        reply_error(method + ": an input is cut short, or no tensor of u8, i64 or f32");
        return 1;
      }
    }
    serve(module, method, tensors);
  }
  return 0;
}

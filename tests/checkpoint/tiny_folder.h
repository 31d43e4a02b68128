// Model folders and safetensors files that the tests write, byte by byte.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "tests/support/temp_folder.h"

namespace guildhall {

struct TestTensor {
  std::string dtype = "F32";
  std::vector<int64_t> shape;
  std::string bytes;
};
using TestTensors = std::map<std::string, TestTensor>;

// A tensor of `shape` whose elements count upwards from `first`.
TestTensor Counting(std::vector<int64_t> shape, float first = 0.0f);

// A whole file: length, header, buffer.
std::string SafetensorsBytes(const TestTensors& tensors);
// The same around a header that is written by hand.
std::string SafetensorsBytes(const std::string& header, const std::string& buffer);

// A folder in the temporary directory that is removed at the end.
class TestFolder : public TempFolder {
 public:
  std::string Path(const std::string& name) const { return *this / name; }
  void Write(const std::string& name, const std::string& bytes) const;
  void Write(const std::string& name, const Json& json) const { Write(name, DumpJson(json)); }
};

// An OLMoE of one layer with two experts: hidden 4, two heads of 2, experts of width 3, vocabulary 5.
Json TinyOlmoeConfig();
TestTensors TinyOlmoeTensors();

// A Llama of one layer: hidden 4, two heads of 2, width 3, vocabulary 5.
Json TinyLlamaConfig();
TestTensors TinyLlamaTensors();

}  // namespace guildhall

#include "tests/support/npy.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <regex>

#include "base/check.h"

namespace guildhall {

NpyArray ReadNpy(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  GH_CHECK(bytes.size() > 10 && bytes.compare(0, 8, std::string("\x93NUMPY\x01\x00", 8)) == 0);
  const size_t header = static_cast<uint8_t>(bytes[8]) + 256u * static_cast<uint8_t>(bytes[9]);
  const std::string text = bytes.substr(10, header);
  GH_CHECK(text.find("'<f4'") != std::string::npos);
  GH_CHECK(text.find("'fortran_order': False") != std::string::npos);
  std::smatch match;
  GH_CHECK(std::regex_search(text, match, std::regex(R"('shape': \(([^)]*)\))")));
  NpyArray array;
  int64_t elements = 1;
  const std::string dims = match[1];
  const std::regex number("[0-9]+");
  for (std::sregex_iterator it(dims.begin(), dims.end(), number), end; it != end; ++it) {
    array.shape.push_back(std::stoll(it->str()));
    elements *= array.shape.back();
  }
  GH_CHECK_EQ(bytes.size(), 10 + header + static_cast<size_t>(elements) * sizeof(float));
  array.values.resize(static_cast<size_t>(elements));
  std::memcpy(array.values.data(), bytes.data() + 10 + header, array.values.size() * sizeof(float));
  return array;
}

}  // namespace guildhall

// Reads the .npy files of the goldens: version 1.0, float32, little-endian, C order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace guildhall {

struct NpyArray {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// Ends the test program on a file that is not such an array.
NpyArray ReadNpy(const std::string& path);

}  // namespace guildhall

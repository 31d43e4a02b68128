// packed.json: what a file of packed weights holds.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "weights/weight_formats.h"

namespace guildhall {

struct PackedTensor {
  std::string name;  // as PlanWeights names it
  WeightFormat format = WeightFormat::kF32;
  int64_t out = 0, in = 0;
  uint64_t offset = 0, bytes = 0;
  uint32_t checksum = 0;  // CRC-32C of its bytes

  bool operator==(const PackedTensor&) const = default;
};

// A file that the weights were made of.
struct PackedSource {
  std::string name;
  uint64_t bytes = 0;
  uint32_t checksum = 0;  // config.json: of all of it; safetensors: of the header

  bool operator==(const PackedSource&) const = default;
};

struct PackedManifest {
  std::string tool;                          // "guildhall 0.1.0"
  std::string layout;                        // Backend::layout() of the one that packed
  DType dtype = DType::kBF16;                // of the model that was packed
  WeightFormats formats;                     // as asked for; unset: as the checkpoint had them
  std::map<WeightFormat, uint32_t> layouts;  // of the formats that occur: see LayoutChecksum
  uint64_t bytes = 0;                        // of the file of weights
  std::vector<PackedSource> sources;
  std::vector<PackedTensor> tensors;  // by ascending offset

  bool operator==(const PackedManifest&) const = default;
};

std::string FormatPackedManifest(const PackedManifest& manifest);

// Pure. After it: tensors have sizes within the file, at multiples of 64, without overlap, under distinct
// names, each of a format whose layout is stated. INVALID_ARGUMENT for what is no such manifest; DATA_LOSS
// naming the tensor for places that cannot be.
absl::StatusOr<PackedManifest> ParsePackedManifest(std::string_view text);

}  // namespace guildhall

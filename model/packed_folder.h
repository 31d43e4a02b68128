// A folder that holds a model's weights packed already, as `guildhall quantize` writes it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/mapped_file.h"
#include "checkpoint/weight_source.h"
#include "kernels/backend.h"
#include "model/packed_manifest.h"
#include "model/weights.h"

namespace guildhall {

inline constexpr char kPackedWeightsFile[] = "weights.packed";

// Identifies what `backend` makes of a matrix of that format: a checksum over a packed sample. Differs where
// the layout does: by the level's grouping, or by a later version.
uint32_t LayoutChecksum(const Backend& backend, WeightFormat format);

// Immutable; keeps the file of weights mapped.
class PackedFolder {
 public:
  // Reads the manifest, maps the weights. As ParsePackedManifest; NOT_FOUND; DATA_LOSS for a file of another
  // size than the manifest says.
  static absl::StatusOr<std::unique_ptr<PackedFolder>> Open(const std::string& directory);

  const std::string& directory() const { return directory_; }
  const PackedManifest& manifest() const { return manifest_; }
  const std::shared_ptr<const MappedFile>& file() const { return file_; }

 private:
  std::string directory_;
  PackedManifest manifest_;
  std::shared_ptr<const MappedFile> file_;
};

// How the weights of a packed folder come into memory.
struct PackedLoad {
  const PackedFolder* folder = nullptr;
  bool map = false;    // serve from the mapped file instead of a copy on large pages
  bool verify = true;  // compare all checksums; a copy is always verified
};

// FAILED_PRECONDITION with the command that helps where the folder was packed in another layout than the back
// end's.
absl::Status CheckLayouts(const PackedFolder& folder, const Backend& backend);

// DATA_LOSS naming the first tensor that is not the one which a load of `model` in the manifest's formats
// would make, at its place. The layouts are the back end's.
absl::Status CheckPackedTensors(const WeightSource& model, const PackedFolder& folder,
                                const Backend& backend);

// `model`: names and shapes alone. Every matrix must be the one that a load of `model` in the manifest's
// formats would make, at its place. DATA_LOSS naming the tensor for one that is not, or whose checksum is
// wrong; FAILED_PRECONDITION for a layout of another back end; RESOURCE_EXHAUSTED.
absl::StatusOr<DecoderWeights> LoadPackedWeights(const WeightSource& model, const PackedLoad& load,
                                                 Backend& backend,
                                                 const std::function<void(size_t, size_t)>& progress);

}  // namespace guildhall

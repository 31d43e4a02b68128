// A mapped file that loses its pages while it is read: an error to be asked for, where it would be a SIGBUS
// that ends the process.
#pragma once

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "base/mapped_file.h"

namespace guildhall {

// From its making to its end, pages of the file's mapping that the system cannot bring (the file was cut, the
// disk fails) read as zeros, from whatever thread. Whoever reads through the mapping asks Check() before
// using what came of it. The first one handles SIGBUS for the process; a SIGBUS that concerns no watched file
// ends it as ever.
class MappedWatch {
 public:
  // RESOURCE_EXHAUSTED beyond 64 at a time.
  static absl::StatusOr<std::unique_ptr<MappedWatch>> Start(std::shared_ptr<const MappedFile> file);
  ~MappedWatch();
  MappedWatch(const MappedWatch&) = delete;
  MappedWatch& operator=(const MappedWatch&) = delete;

  // DATA_LOSS naming the file, from the first lost page on and for good. Costs a load.
  absl::Status Check() const;

 private:
  MappedWatch(std::shared_ptr<const MappedFile> file, size_t slot) : file_(std::move(file)), slot_(slot) {}

  const std::shared_ptr<const MappedFile> file_;
  const size_t slot_;
};

}  // namespace guildhall

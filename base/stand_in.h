// What lies in the place of a file that was never downloaded, or not to its end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/mapped_file.h"

namespace guildhall {

// So many first bytes tell.
inline constexpr size_t kStandInBytes = 1024;

// What the text is instead of a file of ours, and the cure: a pointer of Git LFS, Git annex or Xet, a web
// page, a server's refusal, zeros. Empty where it is nothing of that kind. `begin`: at least the first
// kStandInBytes, or all of it.
std::string StandInText(std::string_view begin);

// INVALID_ARGUMENT "PATH: ..." for such a file, and for an empty one.
absl::Status CheckNoStandIn(const MappedFile& file);
// The same of a file by its name, and FAILED_PRECONDITION as UnfinishedText; OK where there is none, or none
// that can be read.
absl::Status CheckNoStandIn(const std::string& path);

// Of a file that is not there: what an unfinished download has left ("PATH.part" beside it, or a link to
// nothing), and the cure; empty where nothing of that kind is found.
std::string UnfinishedText(const std::string& path);

// "model.safetensors" of "model.safetensors.part", as downloads name what is not complete; empty for others.
std::string_view UnfinishedName(std::string_view name);

}  // namespace guildhall

#include "tests/cuda_emulation/checks/source_line.h"

#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <memory>

extern "C" const std::byte __executable_start;

namespace guildhall::emulation {
namespace {

std::string ProgramPath() {
  char path[4096];
  const ssize_t bytes = readlink("/proc/self/exe", path, sizeof path);
  return bytes > 0 ? std::string(path, static_cast<size_t>(bytes)) : std::string();
}

// What binutils say of the innermost function that is not the emulation's: "/folder/product.cu:41
// (discriminator 2)" or "??:0".
std::string AskAddr2Line(uint32_t place) {
  char command[4200];
  std::snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%x 2>/dev/null", ProgramPath().c_str(),
                place - 1);
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command, "r"), pclose);
  std::string text = "?";
  char line[4096];
  while (pipe != nullptr && std::fgets(line, sizeof line, pipe.get()) != nullptr) {
    text = line;
    if (text.find("/cuda_emulation/include/") == std::string::npos) break;
  }
  return text.substr(0, text.find_first_of(" \n"));
}

}  // namespace

uint32_t PlaceOf(const void* pc) {
  return static_cast<uint32_t>(static_cast<const std::byte*>(pc) - &__executable_start);
}

std::string SourceLine(uint32_t place) {
  const std::string line = AskAddr2Line(place);
  if (line.front() != '?') return line.substr(line.rfind('/') + 1);
  char text[32];
  std::snprintf(text, sizeof text, "program + 0x%x", place);
  return text;
}

}  // namespace guildhall::emulation

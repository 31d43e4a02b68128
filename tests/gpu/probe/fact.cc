#include "tests/gpu/probe/fact.h"

#include <cstdio>
#include <exception>
#include <stdexcept>

namespace guildhall::probe {
namespace {

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return quoted + '"';
}

}  // namespace

void Fact(const std::string& name, double value, const std::string& unit) {
  std::printf("{\"name\": %s, \"value\": %.6g, \"unit\": %s}\n", Quoted(name).c_str(), value,
              Quoted(unit).c_str());
  std::fflush(stdout);
}

void Fact(const std::string& name, const std::string& text) {
  std::printf("{\"name\": %s, \"text\": %s}\n", Quoted(name).c_str(), Quoted(text).c_str());
  std::fflush(stdout);
}

void Check(cudaError_t error, const char* doing) {
  if (error == cudaSuccess) return;
  throw std::runtime_error(std::string(doing) + ": " + cudaGetErrorName(error));
}

bool Ask(const std::string& name, void (*questions)()) {
  try {
    questions();
    return true;
  } catch (const std::exception& failure) {
    std::printf("{\"name\": %s, \"error\": %s}\n", Quoted(name).c_str(), Quoted(failure.what()).c_str());
    std::fflush(stdout);
    return false;
  }
}

}  // namespace guildhall::probe

// What the probe finds out, one line of JSON each, printed the moment that it is known.
#pragma once

#include <cuda_runtime.h>

#include <string>

namespace guildhall::probe {

void Fact(const std::string& name, double value, const std::string& unit);
void Fact(const std::string& name, const std::string& text);

// A failure of the runtime ends the question that met it: an exception, since a probe has
// no one to ask.
void Check(cudaError_t error, const char* doing);

// Runs one group of questions. What it throws becomes a line of its own; false then.
bool Ask(const std::string& name, void (*questions)());

}  // namespace guildhall::probe

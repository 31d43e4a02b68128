// A whole model folder, as small as one can be that has everything: weights, configuration, tokenizer,
// template.
#pragma once

#include <string>

#include "tests/checkpoint/tiny_folder.h"

namespace guildhall {

// Its files by name, as text; a test changes them before it writes them.
std::map<std::string, std::string> SmallModelFiles();
void WriteFiles(const TestFolder& folder, const std::map<std::string, std::string>& files);

// A tokenizer of five tokens, for the tiny models' vocabulary.
Json TinyTokenizer();

}  // namespace guildhall

// The bytes of single tokens, for log-probabilities and Tokenize.
#pragma once

#include <cstdint>
#include <string>

#include "text/tokenizer.h"

namespace guildhall {

// The token's own bytes, which may be a part of a character; its spelling for special tokens; "" where there
// is no tokenizer or no such token. Unlike Decode of one id, the space that begins a word is kept.
std::string TokenBytes(const Tokenizer* tokenizer, int32_t id);

}  // namespace guildhall

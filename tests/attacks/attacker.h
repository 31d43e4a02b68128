// What attacks share: how they reach their target, and requests that keep a server busy.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/attacks/attack.h"
#include "tests/support/http2_client.h"

namespace guildhall::attacks {

inline constexpr std::string_view kGenerate = "/guildhall.v1.Inference/Generate";
inline constexpr std::string_view kTokenize = "/guildhall.v1.Inference/Tokenize";

// A connection on which nothing has been sent; null when it is refused. On loopback attackers come from an
// address of their own, so that limits per peer tell them from innocent clients on the same machine.
std::unique_ptr<http2::Client> Reach(const Target& target);
// The same with preface and settings.
std::unique_ptr<http2::Client> ReachHttp2(const Target& target);

// Serialized GenerateRequests: one that ends soon, one that goes on for `tokens` tokens.
std::string ShortRequest();
std::string LongRequest(int64_t tokens);

// Those of `clients` that the peer has closed.
int64_t CountClosed(const std::vector<std::unique_ptr<http2::Client>>& clients);

}  // namespace guildhall::attacks
